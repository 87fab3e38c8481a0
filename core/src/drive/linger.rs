//! The lingering close, which lets the last bytes of this side arrive even while the peer is still sending.
//!
//! If a socket is closed while received bytes are unread, TCP answers with RST. An RST destroys the bytes that the peer has not
//! read yet: a close code becomes 1006, and a refusal becomes a broken pipe or the 502 of a proxy. So the side that ends a
//! connection shuts its sending side down, and reads and discards until the peer ends, too.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use super::transport::{Flow, ReceiveError, Received, Transport, Written};
use super::turn::yield_now;

/// The most bytes that are discarded after the last bytes of this side. A peer that sends more is not going to read them.
pub const MAX_DISCARDED: usize = 64 << 20;

/// The most bytes that one poll discards, so that an endless stream lets other tasks run.
const MAX_PER_POLL: usize = 1 << 20;

/// A peer whose bytes are not frames counts as done once nothing has arrived for this time.
const SILENCE: Duration = Duration::from_millis(500);

/// The most bytes that one read takes.
pub(super) const READ_BUFFER: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `read` with a buffer that belongs to the thread, so that an idle connection has none.
pub(super) fn with_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    // Take the buffer instead of borrowing it: a nested call then finds an empty one, and allocates.
    let mut buffer = BUFFER.take();
    buffer.resize(READ_BUFFER, 0);
    let result = read(&mut buffer);
    BUFFER.set(buffer);
    result
}

/// Reads and discards until the end of the stream, and subtracts the number of bytes from `budget`. Ready at the end of the
/// stream, when the stream fails, and when the budget is spent.
pub(super) fn poll_discard(
    io: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    budget: &mut usize,
) -> Poll<()> {
    let stop_at = budget.saturating_sub(MAX_PER_POLL);
    with_buffer(|buffer| {
        while *budget > stop_at {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut *io).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => *budget = budget.saturating_sub(read.filled().len()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        if *budget == 0 {
            return Poll::Ready(());
        }
        yield_now(cx)
    })
}

/// Writes `last_bytes`, shuts the sending side down, and reads and discards until the peer's end, at most
/// [`MAX_DISCARDED`] bytes. Reads while it writes, since a peer may read only after it has written. The caller bounds the time.
///
/// # Errors
/// Fails when writing fails.
pub async fn finish(io: &mut (impl AsyncRead + AsyncWrite + Unpin), last_bytes: &[u8]) -> io::Result<()> {
    let mut rest = last_bytes;
    let mut reading = DiscardedInput::default();
    poll_fn(|cx| {
        let _ = reading.poll(|budget| poll_discard(io, cx, budget));
        while !rest.is_empty() {
            match ready!(Pin::new(&mut *io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => rest = &rest[count..],
            }
        }
        Pin::new(&mut *io).poll_shutdown(cx)
    })
    .await?;
    poll_fn(|cx| reading.poll(|budget| poll_discard(io, cx, budget))).await;
    Ok(())
}

/// Discards incoming bytes while this side writes.
#[derive(Debug)]
struct DiscardedInput {
    budget: usize,
    ended: bool,
}

impl Default for DiscardedInput {
    fn default() -> Self {
        Self { budget: MAX_DISCARDED, ended: false }
    }
}

impl DiscardedInput {
    /// Discards, unless the stream has ended. Ready once it has.
    fn poll(&mut self, discard: impl FnOnce(&mut usize) -> Poll<()>) -> Poll<()> {
        self.ended = self.ended || discard(&mut self.budget).is_ready();
        if self.ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Closes a transport whose close frame is queued: writes the frame, and waits for the peer's answer. The caller bounds the time.
pub(super) async fn close(transport: &mut (impl Transport + ?Sized)) {
    let mut reading = DiscardedInput::default();
    let answered = poll_fn(|cx| {
        let mut answered = false;
        let received = transport.poll_receive(cx, &mut |received| {
            match received {
                Received::Bytes(bytes) => reading.budget = reading.budget.saturating_sub(bytes),
                Received::Close(_) => answered = true,
                Received::Message(_) => {}
            }
            Flow::Continue
        });
        match received {
            Poll::Pending if answered => Poll::Ready(CloseAnswer::Closed),
            // A peer that broke the framing cannot answer in it.
            Poll::Ready(ReceiveError::Protocol(_) | ReceiveError::RateExceeded) => {
                Poll::Ready(CloseAnswer::Unreadable)
            }
            Poll::Ready(ReceiveError::Io(_)) => Poll::Ready(CloseAnswer::None),
            Poll::Pending if reading.budget == 0 => Poll::Ready(CloseAnswer::None),
            Poll::Pending => match transport.poll_flush(cx, &mut Written::default()) {
                Poll::Ready(Err(_)) => Poll::Ready(CloseAnswer::None),
                _ => Poll::Pending,
            },
        }
    });
    match answered.await {
        CloseAnswer::Closed => leave(transport).await,
        CloseAnswer::Unreadable => {
            wait_for_silence(transport, &mut reading).await;
            shut_down(transport, &mut reading).await;
        }
        // The pending bytes may still reach the peer: the stream may have ended in one direction only.
        CloseAnswer::None => drop(poll_fn(|cx| transport.poll_shutdown(cx)).await),
    }
}

/// The peer's answer to a close frame of ours.
enum CloseAnswer {
    /// A close frame.
    Closed,
    /// Bytes that are not frames.
    Unreadable,
    /// Nothing: the stream failed or ended.
    None,
}

/// Ends a transport on which both sides have sent a close frame: the server ends the stream, and the client waits for that
/// (RFC 6455 §7.1.1).
pub(super) async fn leave(transport: &mut (impl Transport + ?Sized)) {
    let mut reading = DiscardedInput::default();
    if transport.closes_first() {
        // The peer sends nothing more, so there is nothing to wait for.
        poll_fn(|cx| {
            let _ = reading.poll(|budget| transport.poll_discard(cx, budget));
            transport.poll_shutdown(cx)
        })
        .await
        .ok();
        return;
    }
    let flushed = poll_fn(|cx| {
        let ended = reading.poll(|budget| transport.poll_discard(cx, budget));
        match transport.poll_flush(cx, &mut Written::default()) {
            Poll::Ready(Ok(())) => ended.map(Ok),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    });
    if flushed.await.is_ok() {
        poll_fn(|cx| transport.poll_shutdown(cx)).await.ok();
    }
}

/// Writes the queued frames, and discards until the peer pauses or ends. The sending side must stay open meanwhile, because a
/// proxy treats the end of one direction of a WebSocket as the end of both: nginx would reset a client that is still sending,
/// which then loses the close frame.
async fn wait_for_silence(transport: &mut (impl Transport + ?Sized), reading: &mut DiscardedInput) {
    let mut silence = pin!(sleep(SILENCE));
    let mut left = reading.budget;
    poll_fn(|cx| {
        let ended = reading.poll(|budget| transport.poll_discard(cx, budget)).is_ready();
        let failed = matches!(transport.poll_flush(cx, &mut Written::default()), Poll::Ready(Err(_)));
        if ended || failed {
            return Poll::Ready(());
        }
        if reading.budget != left {
            left = reading.budget;
            silence.as_mut().reset(Instant::now() + SILENCE);
        }
        silence.as_mut().poll(cx)
    })
    .await;
}

/// Writes the queued frames, shuts the sending side down, and discards until the peer's end.
async fn shut_down(transport: &mut (impl Transport + ?Sized), reading: &mut DiscardedInput) {
    let shut = poll_fn(|cx| {
        let _ = reading.poll(|budget| transport.poll_discard(cx, budget));
        transport.poll_shutdown(cx)
    });
    if shut.await.is_ok() {
        poll_fn(|cx| reading.poll(|budget| transport.poll_discard(cx, budget))).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::CloseFrame;
    use crate::drive::{Detach, Masked, SocketDriver, Unmasked, WsTransport};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (theirs, ours) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (ours.unwrap().0, theirs.unwrap())
    }

    /// A driver whose transport is attached to no session, as after a detach.
    fn driver(transport: impl Transport + 'static) -> Box<SocketDriver> {
        let config = crate::SessionConfig::new(crate::Side::Server, crate::Mode::Plain);
        let mut session = crate::Session::new(std::sync::Arc::new(config), crate::drive::now());
        Box::new(SocketDriver::new(session.reserve(), transport))
    }

    fn too_big() -> Detach {
        Detach::Leave(CloseFrame::from_static(1009, "too big"))
    }

    /// The header of a masked binary frame of this length, with the mask 0.
    fn header(length: u64) -> Vec<u8> {
        [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
    }

    const LENGTH: usize = 5_000_000;

    #[tokio::test]
    async fn close_code_reaches_peer_that_is_still_sending() {
        for round in 0..3 {
            let (ours, mut theirs) = pair().await;
            let mut transport = WsTransport::new(ours, Unmasked, &[], 1024);
            let server = async move {
                let failed = poll_fn(|cx| transport.poll_receive(cx, &mut |_| Flow::Continue)).await;
                assert!(matches!(failed, ReceiveError::Protocol(_)), "{failed:?}");
                driver(transport).close(too_big()).await;
            };
            let client = async move {
                theirs.write_all(&header(LENGTH as u64)).await.unwrap();
                theirs.write_all(&vec![0; LENGTH]).await.unwrap();
                // The answer to a close frame that the peer has not read yet.
                theirs.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
                let mut read = Vec::new();
                theirs.read_to_end(&mut read).await.unwrap();
                read
            };
            let both = timeout(Duration::from_secs(20), async { tokio::join!(client, server) });
            let (read, ()) = both.await.expect("no wait for a peer that has ended");
            assert_eq!(read, b"\x88\x09\x03\xf1too big", "round {round}");
        }
    }

    #[tokio::test]
    async fn refusal_reaches_peer_that_is_still_sending() {
        for round in 0..10 {
            let (mut ours, mut theirs) = pair().await;
            let client = async move {
                theirs.write_all(&vec![0; LENGTH]).await.unwrap();
                let mut read = Vec::new();
                theirs.read_to_end(&mut read).await.unwrap();
                read
            };
            let both = async { tokio::join!(client, finish(&mut ours, b"no")) };
            let (read, finished) = timeout(Duration::from_secs(20), both).await.unwrap();
            finished.unwrap();
            assert_eq!(read, b"no", "round {round}");
        }
    }

    #[tokio::test]
    async fn discarding_ends_at_its_bound() {
        let mut endless = tokio::io::join(tokio::io::repeat(0), tokio::io::sink());
        let finished = timeout(Duration::from_secs(60), finish(&mut endless, b"no")).await;
        finished.expect("discarding ends after 64 MiB").unwrap();
        let mut transport = WsTransport::new(endless, Unmasked, &[], 1024);
        let mut budget = 100_000;
        poll_fn(|cx| transport.poll_discard(cx, &mut budget)).await;
        assert_eq!(budget, 0);
        // Zeros are not valid frames.
        driver(transport).close(too_big()).await;
    }

    /// A peer whose messages never end.
    struct Talker;

    impl AsyncRead for Talker {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let message = [&[0x82, 0xfe, 0xc3, 0x50, 0, 0, 0, 0][..], &[0; 50_000]].concat();
            to.put_slice(&message[..message.len().min(to.remaining())]);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn waiting_for_the_answer_ends_at_its_bound() {
        let endless = tokio::io::join(Talker, tokio::io::sink());
        let transport = WsTransport::new(endless, Unmasked, &[], 100_000);
        let closed = timeout(Duration::from_secs(10), driver(transport).close(too_big())).await;
        closed.expect("discarding ends after 64 MiB");
    }

    #[tokio::test]
    async fn discarding_lets_other_tasks_run() {
        let mut endless = tokio::io::repeat(0);
        let mut budget = MAX_DISCARDED;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(poll_discard(&mut endless, &mut cx, &mut budget).is_pending());
        assert_eq!(budget, MAX_DISCARDED - MAX_PER_POLL);
    }

    #[tokio::test(start_paused = true)]
    async fn stream_stays_open_while_unreadable_peer_sends() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut transport = WsTransport::new(ours, Unmasked, &[], 1024);
        theirs.write_all(&header(LENGTH as u64)).await.unwrap();
        let failed = poll_fn(|cx| transport.poll_receive(cx, &mut |_| Flow::Continue)).await;
        assert!(matches!(failed, ReceiveError::Protocol(_)), "{failed:?}");
        let closing = tokio::spawn(driver(transport).close(too_big()));
        let mut read = [0; 11];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\x88\x09\x03\xf1too big");
        for _ in 0..10 {
            sleep(SILENCE / 2).await;
            theirs.write_all(&[0; 1000]).await.unwrap();
            assert!(timeout(Duration::from_millis(1), theirs.read_u8()).await.is_err(), "no end yet");
        }
        let since = Instant::now();
        assert!(theirs.read_u8().await.is_err(), "the end");
        assert!(since.elapsed() <= SILENCE);
        drop(theirs);
        closing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn server_does_not_wait_after_both_sides_closed() {
        for end in [Detach::Leave(CloseFrame::from_static(1000, "kicked")), Detach::Answered] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            let mut transport = WsTransport::new(ours, Unmasked, &[], 1024);
            theirs.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
            if end == Detach::Answered {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(transport.poll_receive(&mut cx, &mut |_| Flow::Pause).is_pending());
                transport.push_close(Some(&CloseFrame::from_static(1000, "kicked")));
            }
            let since = Instant::now();
            // The peer neither reads nor ends.
            driver(transport).close(end).await;
            assert!(since.elapsed().is_zero());
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"\x88\x08\x03\xe8kicked");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn client_waits_for_server_to_end_the_stream() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let transport = WsTransport::new(ours, Masked(|| [0; 4]), &[], 1024);
        let mut closing =
            std::pin::pin!(driver(transport).close(Detach::Leave(CloseFrame::from_static(1000, ""))));
        theirs.write_all(&[0x88, 0x02, 0x03, 0xe8]).await.unwrap();
        assert!(timeout(Duration::from_secs(1), &mut closing).await.is_err());
        let mut read = [0; 8];
        theirs.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\x88\x82\0\0\0\0\x03\xe8");
        drop(theirs);
        closing.await;
    }
}
