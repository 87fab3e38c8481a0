//! Pending handshakes: their number, their sockets, and a shutdown meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rejoin_server::{ConnectRequest, Identity, Reject, Server};
use rejoin_tests::harness::{MetricsLog, What, within};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::{FRONTS, Front, body, dial, read_head, serve, start, status, upgrade};

#[tokio::test]
async fn shutdown_inside_connect_fn_answers_503() {
    for front in FRONTS {
        let began = Arc::new(Notify::new());
        let begins = began.clone();
        let server = Server::builder(move |_: ConnectRequest| {
            begins.notify_one();
            std::future::pending::<Result<Identity, Reject>>()
        });
        let server = server.build().unwrap();
        let addr = serve(front, &server).await;
        let request = upgrade("connection: close\r\n");
        let asking = tokio::spawn(async move { super::exchange(addr, request.as_bytes()).await });
        within("ConnectFn", began.notified()).await;
        assert_eq!(server.shutdown(Duration::from_secs(20)).await, 0);
        let answer = asking.await.unwrap();
        assert_eq!((status(&answer), body(&answer)), (503, "server is shutting down"), "{front:?}");
    }
}

#[tokio::test]
async fn handshakes_beyond_the_limit_wait() {
    let metrics = MetricsLog::default();
    let hooks = metrics.clone();
    let (_server, addr, mut log) =
        start(Front::Listener, |builder| builder.max_handshakes(2).metrics(hooks)).await;
    let mut silent = [dial(addr).await, dial(addr).await];
    let mut next = dial(addr).await;
    next.write_all(upgrade("").replace("ada", "ben").as_bytes()).await.unwrap();
    // An earlier handshake has to finish first.
    let waits = tokio::time::timeout(Duration::from_millis(100), log.next()).await;
    assert!(waits.is_err(), "{waits:?}");
    assert!(metrics.happened().contains(&"limit reached: handshakes".to_owned()));
    silent[0].write_all(upgrade("").as_bytes()).await.unwrap();
    assert_eq!(log.next().await, ("ada", What::Connected));
    assert_eq!(log.next().await, ("ben", What::Connected));
    assert_eq!(status(&read_head(&mut next).await), 101);
}

#[tokio::test]
async fn upgraded_socket_has_nodelay() {
    for through_auto in [false, true] {
        let (server, _, mut log) = start(Front::Listener, |builder| builder).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = dial(listener.local_addr().unwrap()).await;
        let tcp = listener.accept().await.unwrap().0.into_std().unwrap();
        // The same socket, once the server has it.
        let same = tcp.try_clone().unwrap();
        let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::from_std(tcp).unwrap());
        assert!(!SockRef::from(&same).tcp_nodelay().unwrap());
        let service = server.service();
        tokio::spawn(async move {
            let executor = hyper_util::rt::TokioExecutor::new();
            if through_auto {
                let http = hyper_util::server::conn::auto::Builder::new(executor);
                http.serve_connection_with_upgrades(io, service).await.unwrap();
            } else {
                let http = hyper::server::conn::http1::Builder::new();
                http.serve_connection(io, service).with_upgrades().await.unwrap();
            }
        });
        client.write_all(upgrade("").as_bytes()).await.unwrap();
        log.connected().await;
        assert!(SockRef::from(&same).tcp_nodelay().unwrap());
    }
}
