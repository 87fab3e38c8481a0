//! A hostile peer takes bounded memory, and nothing from other connections.

use std::time::Duration;

use rejoin_server::Server;
use rejoin_tests::harness::{number, numbers, within};
use rejoin_tests::network::Line;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use crate::{alone, echo_server, live};

const KIB: usize = 1024;

/// A byte stream that the server serves.
fn dial(server: &Server) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(4 * KIB);
    let server = server.clone();
    tokio::spawn(async move { server.serve_connection(theirs).await });
    ours
}

/// Opens a plain WebSocket.
async fn open(server: &Server) -> DuplexStream {
    let mut io = dial(server);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    io.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    io
}

/// A frame with the mask 0.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The code of the close frame that comes next, if one does.
async fn close_code(io: &mut (impl AsyncRead + Unpin)) -> Option<u16> {
    let mut rest = Vec::new();
    within("the end of the stream", io.read_to_end(&mut rest)).await.ok();
    let at = rest.iter().position(|byte| *byte == 0x88)?;
    Some(u16::from_be_bytes([*rest.get(at + 2)?, *rest.get(at + 3)?]))
}

/// Checks that another client's messages are echoed as usual.
async fn others_are_unharmed(server: &Server) {
    let line = Line::to(server);
    let mut ada = line.client("/?id=ada&room=others").connect().await.unwrap();
    let since = Instant::now();
    for n in 0..100 {
        ada.send(&number(n)).unwrap();
        assert_eq!(numbers(&mut ada, 1).await, [n]);
    }
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert_eq!(ada.close().await.unacknowledged, 0);
}

/// Writes while the peer accepts bytes, and stops when it does not.
async fn write_while_taken(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    matches!(tokio::time::timeout(Duration::from_millis(10), io.write_all(bytes)).await, Ok(Ok(())))
}

#[test]
fn slow_handshakes_time_out_and_cost_little() {
    alone(true, async {
        let server = echo_server(|builder| builder.handshake_timeout(Duration::from_secs(10)));
        others_are_unharmed(&server).await;
        let before = live();
        let mut slow: Vec<_> = (0..500).map(|_| dial(&server)).collect();
        let since = Instant::now();
        'drip: for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            for io in &mut slow {
                if io.write_all(&[*byte]).await.is_err() {
                    break 'drip;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(live() < before + 500 * 32 * KIB, "{} bytes", live() - before);
            others_are_unharmed(&server).await;
        }
        assert!(since.elapsed() <= Duration::from_secs(15), "{:?}", since.elapsed());
        for io in &mut slow {
            assert_eq!(close_code(io).await, None);
        }
    });
}

#[test]
fn unfinished_message_holds_at_most_one_message() {
    alone(true, async {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let server =
            echo_server(|builder| builder.max_message_size(64 * KIB).heartbeat(minutes(5), minutes(10)));
        let mut endless = Vec::new();
        for _ in 0..100 {
            endless.push(open(&server).await);
        }
        others_are_unharmed(&server).await;
        let before = live();
        for io in &mut endless {
            io.write_all(&masked(0x01, &[b'x'; 1000])).await.unwrap();
            for _ in 0..64 {
                io.write_all(&masked(0x00, &[b'x'; 1000])).await.unwrap();
            }
        }
        others_are_unharmed(&server).await;
        let held = live() - before;
        assert!(held > 100 * 60 * KIB && held < 100 * 140 * KIB, "{held} bytes");
        for io in &mut endless {
            io.write_all(&masked(0x00, &[b'x'; 1000])).await.ok();
            assert_eq!(close_code(io).await, Some(1009));
        }
    });
}

#[test]
fn tiny_fragments_cost_only_their_content() {
    alone(true, async {
        let server = echo_server(|builder| builder);
        let mut io = open(&server).await;
        others_are_unharmed(&server).await;
        let before = live();
        io.write_all(&masked(0x01, b"\"")).await.unwrap();
        let (empty, one) = (masked(0x00, b""), masked(0x00, b"x"));
        for _ in 0..10_000 {
            io.write_all(&one).await.unwrap();
            io.write_all(&empty).await.unwrap();
        }
        assert!(live() < before + 64 * KIB, "{} bytes", live() - before);
        others_are_unharmed(&server).await;
    });
}

#[test]
fn declared_length_costs_nothing() {
    alone(true, async {
        let server = echo_server(|builder| builder);
        others_are_unharmed(&server).await;
        for length in [64 * KIB as u64 + 1, 1 << 31, 1 << 40, i64::MAX as u64] {
            let mut io = open(&server).await;
            let before = live();
            let mut header = vec![0x81, 0x80 | 127];
            header.extend(length.to_be_bytes());
            header.extend([0; 4]);
            io.write_all(&header).await.unwrap();
            assert_eq!(close_code(&mut io).await, Some(1009));
            assert!(live() < before + 16 * KIB);
        }
        // An allowed message costs the bytes that have arrived.
        let mut allowed = Vec::new();
        for _ in 0..100 {
            allowed.push(open(&server).await);
        }
        let before = live();
        for io in &mut allowed {
            io.write_all(&[0x81, 0x80 | 126, 0xff, 0xff, 0, 0, 0, 0, b'x']).await.unwrap();
        }
        others_are_unharmed(&server).await;
        assert!(live() < before + 100 * KIB, "{} bytes", live() - before);
    });
}

#[test]
fn ping_flood_is_answered_as_read() {
    alone(true, async {
        let server = echo_server(|builder| builder);
        let mut io = open(&server).await;
        others_are_unharmed(&server).await;
        let before = live();
        let ping = masked(0x89, &[b'p'; 125]);
        let mut taken = 0;
        while taken < 20_000 && write_while_taken(&mut io, &ping).await {
            taken += 1;
            assert!(live() < before + 256 * KIB, "{} bytes after {taken} pings", live() - before);
        }
        others_are_unharmed(&server).await;
        // A peer that reads gets answers, but only the latest ones.
        let mut answer = [0; 127];
        io.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..3], [0x8a, 125, b'p']);
    });
}

#[test]
fn message_flood_blocks_only_its_sender() {
    alone(true, async {
        let server = echo_server(|builder| builder.send_buffer(16));
        let mut io = open(&server).await;
        others_are_unharmed(&server).await;
        let before = live();
        let message = masked(0x81, br#"{"event":"n","payload":1}"#);
        let mut taken = 0;
        while taken < 20_000 && write_while_taken(&mut io, &message).await {
            taken += 1;
        }
        assert!(taken < 1000, "{taken} were taken, and none of the answers");
        assert!(live() < before + 256 * KIB, "{} bytes", live() - before);
        others_are_unharmed(&server).await;
    });
}

#[test]
fn members_that_never_read_cost_their_buffers() {
    alone(true, async {
        const SILENT: usize = 1000;
        let server = echo_server(|builder| builder.send_buffer(16).write_timeout(Duration::from_secs(30)));
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            silent.push(open(&server).await);
        }
        let line = Line::to(&server);
        let mut ada = line.client("/?id=ada").connect().await.unwrap();
        let before = live();
        let frame = rejoin_server::Frame::new("n", &"x".repeat(500)).unwrap();
        let since = Instant::now();
        for _ in 0..200 {
            assert_eq!(server.broadcast("room", &frame), Ok(SILENT + 1));
            let Some(rejoin_client::Event::Message(came)) = ada.recv().await else { panic!("no message") };
            assert_eq!(came, frame);
        }
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        // Each pipe holds 4 KiB; each queue holds pending frames, and entries for retained ones.
        let held = live() - before;
        assert!(held < SILENT * 16 * KIB, "{held} bytes");
        // Eight frames are in the pipe, up to 128 are being written, 16 are retained; the others were dropped.
        assert!(server.stats().dropped >= 48 * SILENT as u64);
    });
}
