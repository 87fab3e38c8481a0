//! Listeners on Unix sockets and with TLS, several at once.

use std::sync::Arc;
use std::time::Duration;

use rejoin_client::rustls::ClientConfig;
use rejoin_client::rustls::pki_types::ServerName;
use rejoin_client::{Client, ConnectError, Event};
use rejoin_server::{Frame, Server, Tls};
use rejoin_tests::harness::{self, What, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::certificate::localhost_config;
use super::{dial, frame, read_head, status, upgrade};

/// A frame with this text as its event, as a plain client sends it.
fn event(text: &str) -> Vec<u8> {
    frame(1, format!(r#"{{"event":"{text}"}}"#).as_bytes())
}

fn said(what: &What) -> &str {
    let What::Message(frame) = what else { panic!("{what:?}") };
    frame.event()
}

mod unix {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// A path in a folder of its own, which is removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("rejoin-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("ws.sock")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[tokio::test]
    async fn listeners_share_one_server() {
        let folder = Folder::new();
        let (builder, mut log) = harness::builder();
        let server = builder.build().unwrap();
        let tcp = server.listen("127.0.0.1:0").await.unwrap();
        let (tls, trusting) = localhost_config();
        let tls = server.listen_tls("127.0.0.1:0", &Tls::new(tls)).await.unwrap();
        let unix = server.listen_unix(folder.socket()).await.unwrap();

        let mut over_unix = UnixStream::connect(folder.socket()).await.unwrap();
        over_unix.write_all(upgrade("").replace("ada", "unix").as_bytes()).await.unwrap();
        assert_eq!(status(&read_head(&mut over_unix).await), 101);
        let connection = log.connected().await;
        assert_eq!((connection.id(), connection.remote_addr()), ("unix", None));
        over_unix.write_all(&event("hello")).await.unwrap();
        assert_eq!(said(&log.next().await.what), "hello");

        let mut over_tcp =
            Client::builder(format!("ws://{}/?id=tcp", tcp.local_addr())).connect().await.unwrap();
        let url = format!("wss://localhost:{}/?id=tls", tls.local_addr().port());
        let mut over_tls = Client::builder(url).tls(trusting).connect().await.unwrap();
        let [tcp_peer, tls_peer] = log.next_sorted().await.map(|happening| happening.connection);
        assert!(tcp_peer.remote_addr().is_some() && tls_peer.remote_addr().is_some());
        assert_eq!(server.broadcast("room", &Frame::event_only("all")).unwrap(), 3);
        for client in [&mut over_tcp, &mut over_tls] {
            let Some(Event::Message(frame)) = within("frame", client.recv()).await else {
                panic!("no frame")
            };
            assert_eq!(frame.event(), "all");
        }
        drop((over_unix, over_tcp, over_tls));
        assert_eq!(server.shutdown(Duration::from_secs(20)).await, 0);
        tcp.closed().await;
        tls.closed().await;
        unix.closed().await;
        assert!(UnixStream::connect(folder.socket()).await.is_err(), "the listener is closed");
    }

    #[tokio::test]
    async fn socket_left_behind_is_replaced() {
        let folder = Folder::new();
        let server = harness::builder().0.build().unwrap();
        // As a process leaves it that was killed.
        drop(UnixListener::bind(folder.socket()).unwrap());
        assert!(folder.socket().exists());
        server.listen_unix(folder.socket()).await.unwrap();
        UnixStream::connect(folder.socket()).await.unwrap();
        let second = server.listen_unix(folder.socket()).await;
        assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse, "a process listens there");
        let file = folder.0.join("file");
        std::fs::write(&file, "data").unwrap();
        assert_eq!(server.listen_unix(&file).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&file).unwrap(), b"data", "it is no socket");
    }
}

#[tokio::test]
async fn certificates_are_reloaded_while_connections_live() {
    let (builder, mut log) = harness::builder();
    let server: Server = builder.build().unwrap();
    let (old, trusts_old) = localhost_config();
    let (new, trusts_new) = localhost_config();
    let tls = Tls::new(old);
    let addr = server.listen_tls("127.0.0.1:0", &tls).await.unwrap().local_addr();
    let url = format!("wss://localhost:{}/", addr.port());
    let client = async |id: &str, trusts: &Arc<ClientConfig>| {
        Client::builder(format!("{url}?id={id}")).tls(trusts.clone()).no_reconnect().connect().await
    };
    let first = client("first", &trusts_old).await.unwrap();
    log.connected().await;
    tls.clone().reload(new);
    first.send(&Frame::event_only("still here")).unwrap();
    assert_eq!(said(&log.next().await.what), "still here");
    let refused = client("late", &trusts_old).await;
    assert!(matches!(refused, Err(ConnectError::Tls(_))), "{refused:?}");
    let second = client("second", &trusts_new).await.unwrap();
    log.connected().await;
    for (client, text) in [(&first, "one"), (&second, "two")] {
        client.send(&Frame::event_only(text)).unwrap();
        assert_eq!(said(&log.next().await.what), text);
    }
}

#[tokio::test]
async fn pending_tls_handshake_ends_with_the_server() {
    let server = harness::builder().0.handshake_timeout(Duration::from_secs(60)).build().unwrap();
    let (tls, _) = localhost_config();
    let listening = server.listen_tls("127.0.0.1:0", &Tls::new(tls)).await.unwrap();
    let _silent = dial(listening.local_addr()).await;
    let mut nonsense = dial(listening.local_addr()).await;
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // The answer is an alert of TLS, and the end. Accepted later than the silent one, it shows that both were.
    let mut answer = Vec::new();
    within("end", nonsense.read_to_end(&mut answer)).await.ok();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(server.health().handshakes >= 1);
    let start = std::time::Instant::now();
    assert_eq!(server.shutdown(Duration::from_secs(50)).await, 0);
    listening.closed().await;
    assert!(start.elapsed() < Duration::from_secs(40), "it has waited for the silent one");
}

#[tokio::test]
async fn silent_tls_handshake_times_out() {
    let (builder, _log) = harness::builder();
    let server = builder.handshake_timeout(Duration::from_millis(50)).build().unwrap();
    let (tls, trusting) = localhost_config();
    let addr = server.listen_tls("127.0.0.1:0", &Tls::new(tls)).await.unwrap().local_addr();
    let mut silent = dial(addr).await;
    let mut bytes = Vec::new();
    within("end", silent.read_to_end(&mut bytes)).await.ok();
    assert!(bytes.is_empty());
    // One that speaks TLS has another 50 ms for its request.
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(trusting).connect(name, dial(addr).await).await.unwrap();
}
