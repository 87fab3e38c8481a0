//! Foreign code may call back into the server wherever it runs: the server holds no lock that the call would wait for.
//!
//! The codec, the metrics hooks, a `tracing` subscriber and the stream each broadcast to their own session's room, and call every
//! method of the server and its connections. A lock held meanwhile is a deadlock.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_server::codecs::JsonCodec;
use rejoin_server::{
    CallbackKind, CloseReason, Codec, DecodeError, DropReason, EncodeError, Frame, Message, Metrics,
    Overflow, ResumeRefused, Server, StatusCode,
};
use rejoin_tests::harness;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf,
};

/// The server of this process, for the foreign code.
static SERVER: OnceLock<Server> = OnceLock::new();

/// The number of calls from each of them.
static CALLS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// The approximate number of calls from each of them.
const ENOUGH: u64 = 300;

/// The kinds of foreign code.
#[derive(Clone, Copy)]
enum From {
    Codec,
    Metrics,
    Tracing,
    Stream,
}

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Calls every method of a server once for each call into foreign code, but not recursively.
fn call_back(from: From) {
    let Some(server) = SERVER.get() else { return };
    // The sends in here are written, counted and logged, which calls again: without this limit there would be no end.
    if CALLS[from as usize].load(Ordering::Relaxed) >= ENOUGH || CALLING.replace(true) {
        return;
    }
    CALLS[from as usize].fetch_add(1, Ordering::Relaxed);
    server.stats();
    for policy in [Overflow::DropOldest, Overflow::Reject] {
        server.broadcast_with("room", &Frame::event_only("noise"), policy).ok();
    }
    for connection in server.connections("room") {
        connection.counts();
        connection.is_attached();
        connection.send_with(&Frame::event_only("noise"), Overflow::DropOldest).ok();
    }
    CALLING.set(false);
}

struct Nosy;

impl Codec for Nosy {
    fn name(&self) -> &str {
        "json"
    }

    fn encode(&self, frame: &Frame) -> Result<Message, EncodeError> {
        call_back(From::Codec);
        JsonCodec.encode(frame)
    }

    fn decode(&self, message: Message) -> Result<Frame, DecodeError> {
        call_back(From::Codec);
        JsonCodec.decode(message)
    }

    fn encode_control(&self, event: &str, json: Option<bytes::Bytes>) -> Result<Message, EncodeError> {
        call_back(From::Codec);
        JsonCodec.encode_control(event, json)
    }
}

/// Every hook with its arguments.
macro_rules! hooks {
    ($($hook:ident($($argument:ty),*)),* $(,)?) => {
        impl Metrics for Nosy {
            $(fn $hook(&self, $(_: $argument),*) { call_back(From::Metrics); })*
        }
    };
}

hooks! {
    upgrade_refused(StatusCode),
    connection_opened(),
    connection_closed(Duration, &CloseReason),
    room_created(),
    room_destroyed(),
    resume_attempted(),
    resume_refused(ResumeRefused),
    takeover(),
    transport_dropped(&DropReason),
    heartbeat_failed(),
    transport_restored(),
    received(u64, u64),
    sent(u64, u64),
    replayed(u64),
    broadcast(u64, usize),
    frames_dropped(u64),
    volatile_dropped(u64),
    gap_sent(u64),
    gap_received(u64),
    send_buffer_used(usize, usize),
    retained_bytes_changed(i64),
    callback_finished(CallbackKind, Duration),
}

impl tracing::Subscriber for Nosy {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("rejoin")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        call_back(From::Tracing);
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        call_back(From::Tracing);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Stream(DuplexStream);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        call_back(From::Stream);
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        call_back(From::Stream);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        call_back(From::Stream);
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        call_back(From::Stream);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A handwritten client in session or plain mode, after its upgrade was answered.
async fn dial(server: &Server, id: &str, session: bool) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let offer = if session { "sec-websocket-protocol: rejoin.v1.json\r\n" } else { "" };
    let request = format!(
        "GET /?id={id}&room=room HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    );
    theirs.write_all(request.as_bytes()).await.unwrap();
    server.spawn_connection(Stream(ours), None);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(theirs.read_u8().await.unwrap());
    }
    theirs
}

/// Reads until this text arrives.
async fn read_until(mut client: ReadHalf<DuplexStream>, text: &'static str) {
    let mut read = Vec::new();
    while !read.windows(text.len()).any(|window| window == text.as_bytes()) {
        read.drain(..read.len().saturating_sub(text.len()));
        assert!(client.read_buf(&mut read).await.unwrap() > 0, "the server has closed");
    }
}

async fn scenario() {
    let echo = Server::builder(harness::connect)
        .codec(Nosy)
        .metrics(Nosy)
        .max_retained_bytes(8_000_000)
        .send_buffer(65_536)
        .send_buffer_bytes(usize::MAX)
        .on_message(|connection, frame| async move {
            connection.send_wait(&frame).await.ok();
        });
    let server = echo.build().unwrap();
    assert!(SERVER.set(server.clone()).is_ok());
    // A suspended session, which is evicted at the end.
    drop(dial(&server, "away", false).await);
    let away = server.connection("away").unwrap();
    server.send("away", &Frame::new("big", &"x".repeat(1_000_000)).unwrap()).unwrap();
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for (id, session) in [("ada", true), ("ben", false), ("eve", true)] {
        let (reader, writer) = tokio::io::split(dial(&server, id, session).await);
        readers.push(tokio::spawn(read_until(reader, "the last")));
        writers.push(writer);
    }
    for _ in 0..ENOUGH {
        server.broadcast("room", &Frame::event_only("round")).unwrap();
        for writer in &mut writers {
            writer.write_all(b"\x81\x8e\0\0\0\0{\"event\":\"me\"}").await.unwrap();
        }
    }
    server.broadcast("room", &Frame::event_only("the last")).unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    server.kick("ada").await.unwrap();
    server.cut("eve").unwrap();
    // The suspended session is evicted for this frame, if it was not before. Its own task ends it, in another thread.
    server.send("eve", &Frame::new("big", &"x".repeat(7_500_000)).unwrap()).unwrap();
    away.closed().await;
    assert!(server.connection("away").is_none());
    server.shutdown(Duration::from_secs(5)).await;
}

#[test]
fn foreign_code_may_call_back_into_the_server() {
    tracing::subscriber::set_global_default(Nosy).unwrap();
    let (done, finished) = mpsc::channel();
    let panicked = Arc::new(Mutex::new(None));
    let thread = {
        let panicked = panicked.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let result = std::panic::catch_unwind(|| runtime.block_on(scenario()));
            *panicked.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
            done.send(()).ok();
        })
    };
    // A deadlock would last forever, which a slow machine does not.
    finished.recv_timeout(Duration::from_secs(60)).expect("deadlock: foreign code waits for a lock of ours");
    thread.join().unwrap();
    if let Some(panic) = panicked.lock().unwrap_or_else(PoisonError::into_inner).take() {
        std::panic::resume_unwind(panic);
    }
    let calls = CALLS.each_ref().map(|calls| calls.load(Ordering::Relaxed));
    assert!(calls.iter().all(|calls| *calls >= 100), "each of them has called: {calls:?}");
}
