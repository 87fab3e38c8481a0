//! Messages and answers in closed loops of 1,000 connections: an echo, a question that a handler of the router answers, and a question
//! that the server asks. Without sockets, on one thread, in plain mode. An item is a round trip.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use divan::Bencher;
use divan::counter::ItemsCount;
use rejoin_server::router::Router;
use rejoin_server::{Builder, ConnectRequest, Frame, Identity, Reject, Server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime;
use tokio::sync::Notify;

fn main() {
    divan::main();
}

const CONNECTIONS: usize = 1000;

/// The round trips of one iteration.
const ROUND_TRIPS: usize = 10 * CONNECTIONS;

/// Counts the round trips of all clients.
#[derive(Default)]
struct Loop {
    done: AtomicUsize,
    reached: Notify,
}

/// A client's end and its connection in one. It says something whenever it has heard something.
#[derive(Clone)]
struct Talker(Arc<Mutex<Inner>>);

struct Inner {
    says: Vec<u8>,
    /// What it says when the next iteration begins.
    next: Option<Vec<u8>>,
    /// Makes what it says to what it has heard.
    reply: fn(&[u8]) -> Vec<u8>,
    is_open: bool,
    reader: Option<Waker>,
    round_trips: Arc<Loop>,
}

impl Talker {
    fn say(inner: &mut Inner, message: Vec<u8>) {
        inner.says = message;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let mut inner = self.lock();
        if let Some(message) = inner.next.take() {
            Self::say(&mut inner, message);
        }
    }

    /// The server writes each frame, and the head of its answer, on its own.
    fn hear(&self, data: &[u8]) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.is_open, true) {
            return;
        }
        let message = (inner.reply)(data);
        let done = inner.round_trips.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done < ROUND_TRIPS {
            Self::say(&mut inner, message);
        } else {
            inner.next = Some(message);
            inner.round_trips.reached.notify_one();
        }
    }
}

impl AsyncRead for Talker {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.says.is_empty() {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&inner.says);
        inner.says.clear();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talker {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.hear(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A text message whose masking key is zero.
fn framed(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).expect("it is short");
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(len.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A message of about 128 bytes with this first member.
fn message(member: &str) -> Vec<u8> {
    framed(&format!(r#"{{{member},"event":"ask","payload":"{}"}}"#, "x".repeat(90)))
}

/// The answer to a question.
fn answer(question: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(question);
    let id = text.split_once(r#""id":""#).and_then(|(_, rest)| rest.split_once('"'));
    message(&format!(r#""re":"{}""#, id.map_or("", |(id, _)| id)))
}

async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
    Ok(Identity::new().with_room("room").with_id(request.query("id").unwrap_or_default()))
}

/// Runs iterations of round trips. `first` is what each client says first, if it begins.
fn run(
    bencher: Bencher<'_, '_>,
    configure: impl FnOnce(Builder) -> Builder,
    first: Option<&[u8]>,
    reply: fn(&[u8]) -> Vec<u8>,
) {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing special");
    let server = configure(Server::builder(connect)).build().expect("the options are in their range");
    let round_trips = Arc::<Loop>::default();
    let talkers: Vec<_> = (0..CONNECTIONS)
        .map(|id| {
            let request = format!(
                "GET /?id={id} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            Talker(Arc::new(Mutex::new(Inner {
                says: request.into_bytes(),
                next: first.map(<[u8]>::to_vec),
                reply,
                is_open: false,
                reader: None,
                round_trips: round_trips.clone(),
            })))
        })
        .collect();
    // Questions that are asked before an iteration wait for it.
    round_trips.done.store(ROUND_TRIPS, Ordering::Relaxed);
    runtime.block_on(async {
        for (id, talker) in talkers.iter().enumerate() {
            server.serve_connection(talker.clone()).await;
            let connection = server.connection(&id.to_string()).expect("the client has a session");
            while !connection.is_attached() {
                tokio::task::yield_now().await;
            }
        }
    });
    bencher.counter(ItemsCount::new(ROUND_TRIPS)).bench_local(|| {
        runtime.block_on(async {
            round_trips.done.store(0, Ordering::Relaxed);
            talkers.iter().for_each(Talker::begin);
            while round_trips.done.load(Ordering::Relaxed) < ROUND_TRIPS {
                round_trips.reached.notified().await;
            }
            // The others hear what the server has said, and say nothing.
            while talkers.iter().any(|talker| talker.lock().next.is_none()) {
                tokio::task::yield_now().await;
            }
        });
    });
}

/// The reference.
#[divan::bench]
fn echo(bencher: Bencher<'_, '_>) {
    let say = |_: &[u8]| message(r#""id":"q-1""#);
    run(
        bencher,
        |builder| {
            builder.on_message(|connection, frame| async move { drop(connection.send_wait(&frame).await) })
        },
        Some(&say(b"")),
        say,
    );
}

/// The clients ask.
#[divan::bench]
fn answer_of_a_router(bencher: Bencher<'_, '_>) {
    let say = |_: &[u8]| message(r#""id":"q-1""#);
    let router = Router::builder()
        .on("ask", |frame: Frame| async move {
            match frame.payload() {
                Some(payload) => Frame::event_only("answer").with_payload(payload.clone()),
                None => Frame::default(),
            }
        })
        .on_error(|_, _| async {})
        .build()
        .expect("each event has one handler");
    run(bencher, |builder| builder.router(router), Some(&say(b"")), say);
}

/// The server asks.
#[divan::bench]
fn question_of_the_server(bencher: Bencher<'_, '_>) {
    run(
        bencher,
        |builder| {
            builder.on_connect(|connection| async move {
                let question = Frame::new("ask", &"x".repeat(90)).expect("JSON can represent a string");
                tokio::spawn(async move { while connection.ask(&question).await.is_ok() {} });
            })
        },
        None,
        answer,
    );
}
