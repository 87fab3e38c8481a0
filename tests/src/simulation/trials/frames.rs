//! Frames of 1 KiB to 900 KiB in both directions.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rejoin_client::{Connection as Client, Event, Frame};
use rejoin_server::{Connection, Server};
use tokio::time::{Instant, sleep, timeout};

use super::super::check::{Findings, Property};
use super::{Plan, in_paused_time};
use crate::harness::{Picked, codecs, connect};
use crate::network::{Direction, Line};

/// Longer than any plan needs.
const PATIENCE: Duration = Duration::from_secs(600);

/// One session, and the frames that are sent over it.
#[derive(Debug)]
pub(super) struct Frames {
    codec: usize,
    latency: Duration,
    server: Buffers,
    client: Buffers,
    to_client: Vec<usize>,
    to_server: Vec<usize>,
    /// Frames of this size are sent without waiting at this pace, and none is refused.
    paced: (usize, Duration, usize),
}

/// The send buffer of a side; `None` is the default.
#[derive(Debug, Clone, Copy)]
struct Buffers {
    frames: Option<usize>,
    bytes: Option<usize>,
}

impl Buffers {
    fn draw(rng: &mut SmallRng) -> Self {
        let frames = [None, None, Some(1), Some(8), Some(64)];
        let bytes = [None, None, Some(4 << 10), Some(16 << 10), Some(200 << 10)];
        let some = "there are some";
        Self { frames: *frames.choose(rng).expect(some), bytes: *bytes.choose(rng).expect(some) }
    }
}

fn sizes(rng: &mut SmallRng) -> Vec<usize> {
    let biggest = *[4 << 10, 48 << 10, 300 << 10, 900 << 10].choose(rng).expect("there are some");
    let (mut left, mut sizes) = (rng.random_range(0..1_500_000_usize), Vec::new());
    while left > 0 && sizes.len() < 200 {
        let size = rng.random_range(1 << 10..=biggest);
        sizes.push(size);
        left = left.saturating_sub(size);
    }
    sizes
}

impl Plan for Frames {
    fn draw(rng: &mut SmallRng) -> Self {
        let latency = if rng.random() { 0 } else { rng.random_range(1..=20) };
        Self {
            codec: rng.random_range(0..codecs().len()),
            latency: Duration::from_millis(latency),
            server: Buffers::draw(rng),
            client: Buffers::draw(rng),
            to_client: sizes(rng),
            to_server: sizes(rng),
            paced: (rng.random_range(1 << 10..40 << 10), Duration::from_millis(100), rng.random_range(0..30)),
        }
    }

    fn play(self) -> Findings {
        in_paused_time(self.carry_out())
    }
}

fn frame(size: usize) -> Frame {
    Frame::new("big", &"x".repeat(size)).expect("JSON takes it")
}

impl Frames {
    async fn carry_out(self) -> Findings {
        let mut server = Server::builder(connect).max_message_size(1 << 20);
        if let Some(frames) = self.server.frames {
            server = server.send_buffer(frames);
        }
        if let Some(bytes) = self.server.bytes {
            server = server.send_buffer_bytes(bytes);
        }
        let codec = codecs()[self.codec].clone();
        let server = server.codec(Picked(codec.clone())).build().expect("the options are in their ranges");
        // The line has enough capacity, so that it only adds latency.
        let line = Line::to(&server).with_capacity(64 << 20);
        for direction in Direction::BOTH {
            line.set_latency(direction, self.latency);
        }
        let mut client = line.client("/?id=ada").codec(Picked(codec));
        if let Some(frames) = self.client.frames {
            client = client.send_buffer(frames);
        }
        if let Some(bytes) = self.client.bytes {
            client = client.send_buffer_bytes(bytes);
        }
        let mut client = client.connect().await.expect("dials are served");
        let session = server.connection("ada").expect("it has connected");
        let mut findings = Findings::default();
        if timeout(PATIENCE, self.send_all(&session, &mut client, &mut findings)).await.is_err() {
            findings.add(Property::Pace, "frames do not arrive".into());
        }
        if timeout(PATIENCE, self.send_paced(&session, &mut client, &mut findings)).await.is_err() {
            findings.add(Property::Pace, "paced frames do not arrive".into());
        }
        findings
    }

    /// Both sides send their frames, and wait for space: only for round trips, never for a timer.
    async fn send_all(&self, session: &Connection, client: &mut Client, findings: &mut Findings) {
        let (sender, start) = (client.sender(), Instant::now());
        let mut problems = Vec::new();
        let to_client = async {
            for size in &self.to_client {
                if let Err(error) = session.send_wait(&frame(*size)).await {
                    return Some(format!("{size} B to the client: {error}"));
                }
            }
            None
        };
        let to_server = async {
            for size in &self.to_server {
                if let Err(error) = sender.send_wait(&frame(*size)).await {
                    return Some(format!("{size} B to the server: {error}"));
                }
            }
            // An acknowledged send takes one more round trip.
            sender.send_acked(&frame(1)).await.err().map(|error| format!("no receipt: {error}"))
        };
        let receiving = async {
            for (index, size) in self.to_client.iter().enumerate() {
                match client.recv().await {
                    Some(Event::Message(_)) => {}
                    other => return Some(format!("instead of frame {index} of {size} B: {other:?}")),
                }
            }
            None
        };
        let (first, second, third) = tokio::join!(to_client, to_server, receiving);
        problems.extend([first, second, third].into_iter().flatten());
        for problem in problems {
            findings.add(Property::Pace, problem);
        }
        // Each frame may have to wait for the acknowledgement of the one before, and each direction for its own.
        let frames = self.to_client.len().max(self.to_server.len()) + 2;
        let most =
            self.latency * 4 * u32::try_from(frames).expect("they are few") + Duration::from_millis(20);
        if start.elapsed() > most {
            let text = format!("{:?} for what takes {most:?} with a network like this", start.elapsed());
            findings.add(Property::Pace, text);
        }
    }

    /// No frame to a peer that keeps up is refused.
    async fn send_paced(&self, session: &Connection, client: &mut Client, findings: &mut Findings) {
        let (size, pace, count) = self.paced;
        let sender = client.sender();
        // Earlier frames are acknowledged within a second.
        sleep(Duration::from_secs(2)).await;
        for number in 0..count {
            let sent = [session.send(&frame(size)), sender.send(&frame(size))];
            if sent.iter().any(Result::is_err) {
                findings.add(Property::Pace, format!("paced frame {number} of {size} B: {sent:?}"));
                return;
            }
            let since = Instant::now();
            let event = client.recv().await;
            if !matches!(event, Some(Event::Message(_))) || since.elapsed() > pace {
                let text = format!("paced frame {number} after {:?}: {event:?}", since.elapsed());
                findings.add(Property::Pace, text);
                return;
            }
            sleep(pace.saturating_sub(since.elapsed())).await;
        }
    }
}
