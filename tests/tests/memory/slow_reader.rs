//! A peer that reads slowly, and one that reads almost nothing (PROTOCOL.md §7).

use rejoin_client::Frame;
use rejoin_server::{DropReason, Server};
use rejoin_tests::harness::What;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use crate::{millis, secs, server};

const REQUEST: &[u8] = b"GET /?id=slow HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-protocol: rejoin.v1.json\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A socket in session mode with a small buffer, from which the answer and `$open` have been read.
async fn opened(server: &Server) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(2048);
    theirs.write_all(REQUEST).await.unwrap();
    server.spawn_connection(ours, None);
    let mut read = Vec::new();
    while !read.windows(5).any(|text| text == b"$open") {
        theirs.read_buf(&mut read).await.unwrap();
    }
    theirs
}

/// Reads this many bytes at once, with a pause in milliseconds in between, until there are `most` or the socket ends. Returns
/// their number and the elapsed time.
async fn read_slowly(socket: &mut DuplexStream, bytes: usize, pause: u64, most: usize) -> (usize, Instant) {
    let (mut buffer, mut all) = (vec![0; bytes], 0);
    while all < most {
        tokio::time::sleep(millis(pause)).await;
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => all += count,
        }
    }
    (all, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn message_may_outlast_the_write_timeout() {
    let (server, mut log) = server(|builder| builder.write_timeout(secs(1)));
    let mut socket = opened(&server).await;
    log.connected().await;
    // Also longer than the pong timeout: the answer to a ping would come after the message.
    for (size, bytes, pause) in [(60_000, 512, 25), (60_000, 1000, 700), (900_000, 512, 25)] {
        server.send("slow", &Frame::new("e", &"x".repeat(size)).unwrap()).unwrap();
        let (all, _) = read_slowly(&mut socket, bytes, pause, size).await;
        assert!(all >= size, "{all} of {size}");
        // This proves that the peer is alive, and acknowledges the message.
        let ack = format!("{{\"event\":\"$ack\",\"payload\":{}}}", server.stats().frames_out);
        let mut frame = vec![0x81, 0x80 | u8::try_from(ack.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(ack.bytes());
        socket.write_all(&frame).await.unwrap();
    }
    assert!(server.connection("slow").unwrap().is_attached());
    assert!(log.try_next().is_none(), "the socket was never lost");
}

#[tokio::test(start_paused = true)]
async fn peer_below_minimum_rate_is_cut() {
    for (bytes, pause) in [(1, 100), (500, 600), (1, 900)] {
        let (server, mut log) = server(|builder| builder.write_timeout(secs(5)));
        let mut socket = opened(&server).await;
        log.connected().await;
        server.send("slow", &Frame::new("e", &"x".repeat(60_000)).unwrap()).unwrap();
        let since = Instant::now();
        let reading = tokio::spawn(async move { read_slowly(&mut socket, bytes, pause, 60_000).await });
        assert_eq!(log.next().await, ("slow", What::Dropped(DropReason::WriteTimeout)));
        assert!(since.elapsed() >= secs(5) && since.elapsed() < secs(6), "{:?}", since.elapsed());
        reading.abort();
    }
}
