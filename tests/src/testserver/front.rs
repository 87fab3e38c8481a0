//! The test server's listener: hides the pings of those who ask for it.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::task::{Poll, ready};
use std::time::Duration;

use rejoin_server::Server;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::pingless::Pingless;

/// How long accepting rests when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may say nothing before it is the server's concern.
const SILENCE: Duration = Duration::from_secs(1);

/// The most of a request that is looked at.
const REQUEST_LINE: usize = 4 * 1024;

/// Accepts connections until it is dropped. What has not been upgraded then is closed.
pub(super) async fn accept(server: Server, listener: TcpListener) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(handshakes.spawn(serve(server.clone(), stream))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = handshakes.join_next() => {}
        }
    }
}

async fn serve(server: Server, stream: TcpStream) {
    stream.set_nodelay(true).ok();
    let peek = poll_fn(|cx| {
        // On the stack, and not kept for as long as somebody says nothing.
        let mut head = [MaybeUninit::uninit(); REQUEST_LINE];
        let mut head = ReadBuf::uninit(&mut head);
        ready!(stream.poll_peek(cx, &mut head))?;
        // A request line that comes in pieces is no such wish.
        Poll::Ready(io::Result::Ok(ignores_pings(head.filled())))
    });
    if let Ok(Ok(true)) = tokio::time::timeout(SILENCE, peek).await {
        server.serve_connection(Pingless::new(stream)).await;
    } else {
        server.serve_connection(stream).await;
    }
}

/// Whether a request's query says `ignore_pings=1`.
fn ignores_pings(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let Some(query) = target.iter().position(|byte| *byte == b'?') else { return false };
    form_urlencoded::parse(&target[query + 1..]).any(|(name, value)| name == "ignore_pings" && value == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_wish_in_the_query_alone() {
        for wish in ["/?ignore_pings=1", "/a?id=x&ignore_pings=1&room=y", "/?ignore%5Fpings=1"] {
            assert!(ignores_pings(format!("GET {wish} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()), "{wish}");
        }
        for none in ["/", "/?ignore_pings=0", "/ignore_pings=1", "/ HTTP/1.1\r\nReferer: /?ignore_pings=1"] {
            assert!(!ignores_pings(format!("GET {none} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()), "{none}");
        }
        assert!(!ignores_pings(b""));
    }
}
