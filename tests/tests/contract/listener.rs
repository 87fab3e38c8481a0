//! Features that only a listener has: addresses of peers, and its own end.

use rejoin_client::Client;
use rejoin_server::CloseReason;
use rejoin_tests::harness::{self, END_OF_STREAM, What, alone, secs, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::bare::Bare;

#[test]
fn peer_address_is_known_for_ipv4_and_ipv6() {
    alone(async {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (builder, mut log) = harness::builder();
            let server = builder.build().unwrap();
            let addr = server.listen(host).await.unwrap().local_addr();
            let client = || Client::builder(format!("ws://{addr}/"));
            for client in [client(), client().plain()] {
                let client = client.connect().await.unwrap();
                let peer = log.connected().await.remote_addr().unwrap();
                assert_eq!(peer.ip(), addr.ip());
                assert_ne!(peer.port(), addr.port());
                client.close().await;
                assert_eq!(log.next().await.what, What::Disconnected(CloseReason::Normal));
            }
            assert_eq!(server.shutdown(secs(60)).await, 0);
        }
    });
}

#[test]
fn shutdown_leaves_no_task_and_no_listener() {
    alone(async {
        let (builder, mut log) = harness::builder();
        let server = builder.resume_window(secs(3600)).build().unwrap();
        let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
        let dial = async |id: &str| Bare::over(TcpStream::connect(addr).await?, &format!("id={id}")).await;
        let mut connected = Vec::new();
        for n in 0..20 {
            connected.push(dial(&n.to_string()).await.unwrap());
            log.connected().await;
        }
        drop(dial("away").await.unwrap());
        log.connected().await;
        assert_eq!(log.next().await, ("away", What::Dropped(END_OF_STREAM)));
        let mut silent = TcpStream::connect(addr).await.unwrap();
        silent.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let closing = async {
            for bare in &mut connected {
                assert_eq!(bare.closed().await, (1001, "server shutting down".to_owned()));
            }
        };
        let (left, ()) = tokio::join!(server.shutdown(secs(60)), closing);
        assert_eq!(left, 0);
        // The clients have no tasks in this runtime.
        within("end of all tasks", async {
            while Handle::current().metrics().num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for _ in 0..=20 {
            assert_eq!(log.next().await.what, What::Disconnected(CloseReason::ServerClosed));
        }
        assert_eq!(log.try_next(), None);
        let stats = server.stats();
        assert_eq!((stats.connections, stats.suspended, stats.rooms), (0, 0, 0));
        // It has not sent a request yet, and is closed without an answer.
        let read = within("end of the silent one", silent.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert!(dial("late").await.is_err(), "the listener is closed");
    });
}
