//! Clients that send without a pause, beside others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rejoin_client::{Event, Frame};
use rejoin_server::Server;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;

use super::super::check::{Findings, Property};
use super::peer::{masked, request};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::Line;

/// A flood ends after this many bytes, so that a server that never yields still ends.
const FLOOD: usize = 8 << 20;

/// The maximum number of bytes of each flood that are read, and messages that are handled, between two turns of another task.
const READ_PER_TURN: usize = 1 << 20;
const HANDLED_PER_TURN: usize = 256;

/// The maximum number of turns for a round trip.
const TURNS: usize = 16;

/// Floods, and clients beside them.
#[derive(Debug)]
pub(super) struct Flood {
    floods: Vec<Kind>,
    clients: usize,
    messages: usize,
}

/// The content of a flood.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Messages,
    BigMessages,
    Pings,
    Pongs,
}

/// The cost of floods so far.
#[derive(Debug, Default)]
struct Costs {
    read: AtomicUsize,
    handled: AtomicUsize,
    /// The number of turns that other tasks have had.
    turns: AtomicUsize,
}

impl Plan for Flood {
    fn draw(rng: &mut SmallRng) -> Self {
        let kinds = [Kind::Messages, Kind::Messages, Kind::BigMessages, Kind::Pings, Kind::Pongs];
        let floods = (0..rng.random_range(1..=3)).map(|_| *kinds.choose(rng).expect("there are some"));
        Self { floods: floods.collect(), clients: rng.random_range(1..=3), messages: rng.random_range(1..=3) }
    }

    fn play(self) -> Findings {
        in_paused_time(async move {
            let costs = Arc::new(Costs::default());
            let counted = costs.clone();
            let server = Server::builder(connect).on_message(move |one, frame| {
                if frame.event() == "flood" {
                    counted.handled.fetch_add(1, Ordering::Relaxed);
                } else {
                    one.send(&frame).ok();
                }
                async {}
            });
            let server = server.build().expect("the options are in their ranges");
            let mut clients = Vec::new();
            for _ in 0..self.clients {
                let client = Line::to(&server).client("/").connect().await;
                clients.push(client.expect("dials are served"));
            }
            for kind in &self.floods {
                server.spawn_connection(Endless::new(*kind, costs.clone()), None);
            }
            let (most, floods) = (self.floods.len(), costs.clone());
            let watching = tokio::spawn(watch(floods, most));
            let mut findings = Findings::default();
            let frame = Frame::new("echo", &1).expect("JSON takes it");
            for _ in 0..self.messages {
                for client in &mut clients {
                    let before = costs.turns.load(Ordering::Relaxed);
                    let sent = client.send(&frame);
                    let event = client.recv().await;
                    let turns = costs.turns.load(Ordering::Relaxed) - before;
                    if sent.is_err() || !matches!(event, Some(Event::Message(_))) {
                        findings.add(Property::Pace, format!("no echo: {sent:?}, {event:?}"));
                    } else if turns > TURNS {
                        findings.add(Property::Pace, format!("a message there and back took {turns} turns"));
                    }
                }
            }
            watching.abort();
            if let Ok(Some(text)) = watching.await {
                findings.add(Property::Pace, text);
            }
            let (read, handled) = (costs.read.load(Ordering::Relaxed), costs.handled.load(Ordering::Relaxed));
            if read == 0 {
                findings.add(Property::End, format!("no flood was read: {handled} handled"));
            }
            findings
        })
    }
}

/// Counts turns until a flood has cost too much between two of them.
async fn watch(costs: Arc<Costs>, floods: usize) -> Option<String> {
    let [mut read, mut handled] = [0; 2];
    loop {
        let now = [&costs.read, &costs.handled].map(|cost| cost.load(Ordering::Relaxed));
        if now[0] - read > floods * READ_PER_TURN || now[1] - handled > floods * HANDLED_PER_TURN {
            return Some(format!(
                "between two turns {} B of floods were read, {} messages of them handled",
                now[0] - read,
                now[1] - handled
            ));
        }
        [read, handled] = now;
        costs.turns.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
    }
}

/// A socket that delivers a request and then a flood, and accepts everything that is written.
struct Endless {
    request: Vec<u8>,
    pattern: Vec<u8>,
    at: usize,
    left: usize,
    costs: Arc<Costs>,
}

impl Endless {
    fn new(kind: Kind, costs: Arc<Costs>) -> Self {
        let pattern = match kind {
            Kind::Messages => masked(0x81, br#"{"event":"flood"}"#),
            Kind::BigMessages => {
                masked(0x81, format!(r#"{{"event":"flood","payload":"{}"}}"#, "x".repeat(30_000)).as_bytes())
            }
            Kind::Pings => masked(0x89, b"?"),
            Kind::Pongs => masked(0x8a, b""),
        };
        Self { request: request("", ""), pattern, at: 0, left: FLOOD, costs }
    }
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.request.is_empty() {
            let count = this.request.len().min(buf.remaining());
            buf.put_slice(&this.request[..count]);
            this.request.drain(..count);
            return Poll::Ready(Ok(()));
        }
        while buf.remaining() > 0 && this.left > 0 {
            let rest = &this.pattern[this.at..];
            let count = rest.len().min(buf.remaining()).min(this.left);
            buf.put_slice(&rest[..count]);
            this.at = (this.at + count) % this.pattern.len();
            this.left -= count;
            this.costs.read.fetch_add(count, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
