//! The last bytes of a connection arrive, even while the peer is still sending (PROTOCOL.md §7).

use std::time::Duration;

use rejoin_client::{Client, Frame};
use rejoin_server::{CloseReason, Server};
use rejoin_tests::harness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{FRONTS, body, dial, exchange, frame, read_head, start, status, upgrade, within};

const BIG: usize = 5_000_000;

/// The code and the reason of the close frame at the end of the server's bytes.
pub(super) fn close(sent: &[u8]) -> (u16, String) {
    assert!(sent.len() >= 4 && sent[0] == 0x88, "no close frame: {sent:?}");
    (u16::from_be_bytes([sent[2], sent[3]]), String::from_utf8(sent[4..].to_vec()).unwrap())
}

/// Upgrades, writes these bytes, and only then reads to the end.
async fn write_then_read(tcp: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    within("write", tcp.write_all(bytes)).await.expect("the server reads on");
    let mut sent = Vec::new();
    within("last words", tcp.read_to_end(&mut sent)).await.expect("no reset");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_reads_late_receives_1009() {
    for front in FRONTS {
        let (_server, addr, _log) = start(front, |builder| builder).await;
        // Concurrently, because each is closed after half a second of silence.
        let clients = (0..10).map(|round| {
            tokio::spawn(async move {
                let mut tcp = dial(addr).await;
                let request = upgrade("").replace("ada", &format!("ada-{round}"));
                tcp.write_all(request.as_bytes()).await.unwrap();
                assert_eq!(status(&read_head(&mut tcp).await), 101);
                let sent = write_then_read(&mut tcp, &frame(1, &vec![b'x'; BIG])).await;
                assert_eq!(close(&sent).0, 1009, "{front:?}, round {round}");
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_mid_message_receives_kick_and_shutdown() {
    for (shuts_down, expected) in [(false, (1000, "kicked")), (true, (1001, "server shutting down"))] {
        for front in FRONTS {
            let (server, addr, mut log) = start(front, |builder| builder.max_message_size(16 << 20)).await;
            let mut tcp = dial(addr).await;
            tcp.write_all(upgrade("").as_bytes()).await.unwrap();
            read_head(&mut tcp).await;
            let connection = log.connected().await;
            let message = frame(1, format!(r#"{{"payload":"{}"}}"#, "x".repeat(BIG)).as_bytes());
            let (first, rest) = message.split_at(1000);
            tcp.write_all(first).await.unwrap();
            let ending = tokio::spawn(async move {
                if shuts_down {
                    assert_eq!(server.shutdown(Duration::from_secs(20)).await, 0);
                } else {
                    server.kick("ada").await.unwrap();
                }
            });
            while connection.is_open() {
                tokio::task::yield_now().await;
            }
            let sent = write_then_read(&mut tcp, &[rest, &[0x88, 0x80, 0, 0, 0, 0]].concat()).await;
            ending.await.unwrap();
            let (code, reason) = close(&sent);
            assert_eq!((code, &*reason), expected, "{front:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_mid_post_receives_405() {
    for front in FRONTS {
        let (_server, addr, _log) = start(front, |builder| builder).await;
        for round in 0..10 {
            for size in [1_000_000, BIG] {
                let head = format!(
                    "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
                );
                let answer = exchange(addr, &[head.as_bytes(), &vec![b'x'; size]].concat()).await;
                assert_eq!(status(&answer), 405, "{front:?}, round {round}");
                assert_eq!(body(&answer), "a WebSocket upgrade is a GET request", "{front:?}, round {round}");
            }
        }
    }
}

/// A client closes because it does not accept the server's frames. Its close frame reaches the server, which reports the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_mid_message_receives_1009() {
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder(harness::connect)
        .send_buffer_bytes(64 << 20)
        .on_connect(|connection| async move {
            connection.send(&Frame::new("big", &"x".repeat(BIG)).unwrap()).unwrap();
        })
        .on_disconnect(move |_, reason| {
            ended.send(reason).unwrap();
            async {}
        })
        .build()
        .unwrap();
    let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
    for round in 0..3 {
        // In session mode the client offers its limit, and the server would refuse the frame.
        let client = Client::builder(format!("ws://{addr}/?id=ada")).plain().max_message_size(1024);
        let mut client = client.connect().await.unwrap();
        within("the end", async { while client.recv().await.is_some() {} }).await;
        let reason = within("the server's end", ends.recv()).await.unwrap();
        assert!(
            matches!(&reason, CloseReason::Remote(frame) if frame.code == 1009),
            "round {round}: {reason:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_frames_are_handled_despite_any_ending() {
    type End = fn(&mut Vec<u8>);
    let ends: [(&str, End); 3] = [
        ("a message that is too big", |bytes| bytes.extend(frame(1, &vec![b'x'; 100_000]))),
        ("a frame that is none", |bytes| bytes.extend([0xff; 10])),
        ("text that is no frame", |bytes| bytes.extend(frame(1, b"[]"))),
    ];
    for (what, end) in ends {
        let (sees, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let over = sees.clone();
        let server = Server::builder(harness::connect)
            .on_message(move |_, frame| {
                sees.send(frame.decode::<u64>().unwrap()).unwrap();
                tokio::time::sleep(Duration::from_millis(5))
            })
            .on_disconnect(move |_, _| {
                over.send(0).unwrap();
                async {}
            })
            .build()
            .unwrap();
        let addr = server.listen("127.0.0.1:0").await.unwrap().local_addr();
        let mut tcp = dial(addr).await;
        tcp.write_all(upgrade("sec-websocket-protocol: rejoin.v1.json\r\n").as_bytes()).await.unwrap();
        read_head(&mut tcp).await;
        let mut bytes = Vec::new();
        for n in 1..=20 {
            bytes.extend(frame(1, format!(r#"{{"event":"n","payload":{n}}}"#).as_bytes()));
        }
        end(&mut bytes);
        tcp.write_all(&bytes).await.unwrap();
        for n in (1..=20).chain([0]) {
            assert_eq!(within("message", seen.recv()).await, Some(n), "{what}");
        }
    }
}
