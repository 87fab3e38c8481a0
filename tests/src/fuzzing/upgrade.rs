//! The upgrade request: any bytes, in any pieces.

use std::time::Duration;

use rejoin_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use super::{Input, stage};
use crate::harness;

/// The first bytes choose the pieces in which the rest is written, and whether the stream ends afterwards.
///
/// # Panics
/// Panics if the server neither answers nor closes, or answers anything but HTTP.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (piece, capacity) = (usize::from(input.byte()).max(1), input.one_of(&[1024, 16, 64 * 1024]));
    let (waits, finishes) = (input.flag(), input.flag());
    let request = input.rest();
    stage::play(async {
        let builder = Server::builder(harness::connect).subprotocol("chat");
        let server = builder.allow_origin("https://example.com").build().expect("the options are in range");
        let (ours, theirs) = tokio::io::duplex(capacity);
        let (mut reading, mut writing) = tokio::io::split(ours);
        let since = Instant::now();
        let mut answer = Vec::new();
        let write = async {
            for piece in request.chunks(piece) {
                if writing.write_all(piece).await.is_err() {
                    return;
                }
                if waits {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            if finishes {
                writing.shutdown().await.ok();
            }
        };
        // After an upgrade, the peer answers no ping, so the server closes, too.
        let read = async { reading.read_to_end(&mut answer).await.ok() };
        tokio::join!(server.serve_connection(theirs), write, read);
        assert!(since.elapsed() < Duration::from_secs(90), "it took {:?}", since.elapsed());
        assert_eq!(server.shutdown(Duration::from_secs(5)).await, 0, "every session is closed");
        check(&answer, capacity);
    });
}

/// Checks that the answer is empty, or the head of an HTTP response.
fn check(answer: &[u8], capacity: usize) {
    if answer.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        // hyper closes the connection after an invalid body, and bytes that did not fit into the pipe by then are never written.
        return assert!(answer.len() >= capacity, "no whole head: {text}");
    };
    let status = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "));
    let status: u16 = status.and_then(|rest| rest.get(..3)?.parse().ok()).expect("a status line");
    assert!(status == 101 || (400..600).contains(&status), "{status}");
    let accepts = head.to_ascii_lowercase().contains("\r\nsec-websocket-accept: ");
    assert_eq!(accepts, status == 101, "it accepts or it does not: {head}");
}
