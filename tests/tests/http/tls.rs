//! The server behind the application's own TLS, as in the guide: the server must not rely on access to the TCP socket.

use std::net::SocketAddr;

use rejoin_client::rustls::pki_types::ServerName;
use rejoin_server::Server;
use rejoin_tests::harness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::localhost;
use super::last_words::close;
use super::{body, dial, frame, read_head, status, upgrade, within};

const BIG: usize = 5_000_000;

/// The HTTP server behind the TLS.
#[derive(Debug, Clone, Copy)]
enum Behind {
    Ours,
    Hyper,
}

const BEHIND: [Behind; 2] = [Behind::Ours, Behind::Hyper];

/// Starts a server that answers over TLS, and creates a connector to it.
async fn serve(behind: Behind) -> (Server, SocketAddr, TlsConnector) {
    let server = harness::builder().0.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (acceptor, config) = localhost();
    let serving = server.clone();
    tokio::spawn(async move {
        while let Ok((tcp, peer)) = listener.accept().await {
            let (server, acceptor) = (serving.clone(), acceptor.clone());
            tokio::spawn(async move {
                tcp.set_nodelay(true).unwrap();
                let tls = acceptor.accept(tcp).await.unwrap();
                match behind {
                    Behind::Ours => server.spawn_connection(tls, Some(peer)),
                    Behind::Hyper => {
                        let http = hyper::server::conn::http1::Builder::new();
                        let io = hyper_util::rt::TokioIo::new(tls);
                        http.serve_connection(io, server.service()).with_upgrades().await.ok();
                    }
                }
            });
        }
    });
    (server, addr, TlsConnector::from(config))
}

async fn dial_tls(addr: SocketAddr, connector: &TlsConnector) -> TlsStream<tokio::net::TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    within("the TLS handshake", connector.connect(name, dial(addr).await)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_reads_late_receives_1009_over_tls() {
    for behind in BEHIND {
        let (_server, addr, connector) = serve(behind).await;
        let clients = (0..10).map(|round| {
            let connector = connector.clone();
            tokio::spawn(async move {
                let mut tls = dial_tls(addr, &connector).await;
                let request = upgrade("").replace("ada", &format!("ada-{round}"));
                tls.write_all(request.as_bytes()).await.unwrap();
                assert_eq!(status(&read_head(&mut tls).await), 101);
                let message = frame(1, &vec![b'x'; BIG]);
                let writing = async {
                    tls.write_all(&message).await?;
                    tls.flush().await
                };
                within("write", writing).await.expect("the server reads on");
                let mut sent = Vec::new();
                within("last words", tls.read_to_end(&mut sent))
                    .await
                    .expect("no reset, and an end of the TLS");
                assert_eq!(close(&sent).0, 1009, "{behind:?}, round {round}");
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_mid_post_receives_405_over_tls() {
    for behind in BEHIND {
        let (_server, addr, connector) = serve(behind).await;
        for round in 0..3 {
            let mut tls = dial_tls(addr, &connector).await;
            let head =
                format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {BIG}\r\n\r\n");
            let writing = async {
                tls.write_all(&[head.as_bytes(), &vec![b'x'; BIG]].concat()).await?;
                tls.flush().await
            };
            within("write", writing).await.expect("the server reads on");
            let mut answer = String::new();
            within("answer", tls.read_to_string(&mut answer)).await.expect("no reset, and an end of the TLS");
            assert_eq!(status(&answer), 405, "{behind:?}, round {round}");
            assert_eq!(body(&answer), "a WebSocket upgrade is a GET request", "{behind:?}, round {round}");
        }
    }
}
