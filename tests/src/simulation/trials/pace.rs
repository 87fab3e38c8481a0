//! Peers that read slowly, and some that read almost nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use rejoin_client::{Event, Frame};
use rejoin_server::{DropReason, Server};
use tokio::time::{Instant, sleep, timeout};

use super::super::check::{Findings, Property};
use super::peer::{Peer, request};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::{Direction, Line};

/// A server and one slow peer.
#[derive(Debug)]
pub(super) struct Pace {
    write_timeout: Duration,
    heartbeat: (Duration, Duration),
    peer: Slow,
}

#[derive(Debug)]
enum Slow {
    /// A line with this rate in bytes per second, and the messages in one direction.
    Alive { direction: Direction, rate: u32, capacity: usize, sizes: Vec<usize> },
    /// Reads `burst` bytes at 20 KiB/s, then this many at once after each pause.
    Trickle { burst: usize, bytes: usize, pause: Duration },
}

impl Plan for Pace {
    fn draw(rng: &mut SmallRng) -> Self {
        let write_timeout = Duration::from_millis(rng.random_range(1_000..10_000));
        let is_alive = rng.random_range(0..3) > 0;
        let (ping, pong) = match is_alive {
            true => (rng.random_range(300..5_000), rng.random_range(1_000..5_000)),
            // The peer answers no ping, and the heartbeat must not cut it.
            false => (100_000, 100_000),
        };
        let heartbeat = (Duration::from_millis(ping), Duration::from_millis(ping + pong));
        let peer = if is_alive {
            let rate = rng.random_range(2 << 10..20 << 10);
            // The line moves up to its capacity in one step. A step takes at most a third of either timeout.
            let step = f64::from(rate) * write_timeout.min(heartbeat.1).as_secs_f64() / 3.0;
            let most = if rng.random() { 4 << 10 } else { 300 << 10 };
            Slow::Alive {
                direction: if rng.random() { Direction::ToServer } else { Direction::ToClient },
                rate,
                capacity: (step as usize).min(8 << 10),
                sizes: (0..rng.random_range(1..=6)).map(|_| rng.random_range(100..most)).collect(),
            }
        } else {
            let pause = Duration::from_millis(rng.random_range(50..1_000));
            let most = (512.0 * pause.as_secs_f64()) as usize;
            let burst = if rng.random() { 0 } else { rng.random_range(0..400_000) };
            Slow::Trickle { burst, bytes: rng.random_range(1..=most.max(1)), pause }
        };
        Self { write_timeout, heartbeat, peer }
    }

    fn play(self) -> Findings {
        in_paused_time(async move {
            let drops = Drops::default();
            let noted = drops.clone();
            let server = Server::builder(connect).max_message_size(1 << 20).write_timeout(self.write_timeout);
            let server = server.heartbeat(self.heartbeat.0, self.heartbeat.1);
            let server = server.on_transport_drop(move |_, why| {
                noted.lock().unwrap_or_else(PoisonError::into_inner).push((why, Instant::now()));
                async {}
            });
            let server = server.build().expect("the options are in their ranges");
            let mut findings = Findings::default();
            match &self.peer {
                Slow::Alive { direction, rate, capacity, sizes } => {
                    let line = Line::to(&server).with_capacity(*capacity);
                    for text in self.serve_slowly(&server, &line, *direction, *rate, sizes).await {
                        findings.add(Property::Sockets, text);
                    }
                    for (why, _) in drops.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                        findings.add(Property::Sockets, format!("cut, although it is alive: {why}"));
                    }
                }
                Slow::Trickle { burst, bytes, pause } => {
                    if let Err(text) = self.trickle(&server, &drops, *burst, *bytes, *pause).await {
                        findings.add(Property::Sockets, text);
                    }
                }
            }
            findings
        })
    }
}

type Drops = Arc<Mutex<Vec<(DropReason, Instant)>>>;

impl Pace {
    /// Sends messages over a slow line to or from our client. Returns the failures.
    async fn serve_slowly(
        &self,
        server: &Server,
        line: &Line,
        direction: Direction,
        rate: u32,
        sizes: &[usize],
    ) -> Vec<String> {
        let client = line.client("/?id=slow").write_timeout(self.write_timeout);
        let client = client.heartbeat(self.heartbeat.0, self.heartbeat.1).connect().await;
        let mut client = client.expect("dials are served");
        let session = server.connection("slow").expect("it has connected");
        line.set_rate(direction, Some(rate));
        let frames: Vec<_> =
            sizes.iter().map(|size| Frame::new("e", &"x".repeat(*size)).expect("JSON takes it")).collect();
        let (sender, start) = (client.sender(), Instant::now());
        let sending = tokio::spawn(async move {
            for frame in frames {
                // A send that waits longer than the write timeout for space tries again: this trial is about sockets.
                loop {
                    let sent = match direction {
                        Direction::ToClient => session.send_wait(&frame).await.err(),
                        Direction::ToServer => sender.send_wait(&frame).await.err(),
                    };
                    match sent {
                        None => break,
                        Some(rejoin_client::SendError::Timeout) => {}
                        Some(error) => return Some(format!("not sent: {error}")),
                    }
                }
            }
            match direction {
                Direction::ToClient => None,
                Direction::ToServer => loop {
                    match sender.send_acked(&Frame::new("e", &0).expect("JSON takes it")).await {
                        Ok(()) => break None,
                        Err(rejoin_client::DeliveryError::NotSent(rejoin_client::SendError::Timeout)) => {}
                        Err(error) => break Some(format!("no receipt: {error}")),
                    }
                },
            }
        });
        let all = sizes.iter().sum::<usize>() + 100 * sizes.len();
        let takes = Duration::from_secs_f64(1.3 * all as f64 / f64::from(rate)) + Duration::from_secs(10);
        let mut problems = Vec::new();
        let wanted = if direction == Direction::ToClient { sizes.len() } else { 0 };
        let mut got = 0;
        while got < wanted {
            match timeout(takes.saturating_sub(start.elapsed()), client.recv()).await {
                Ok(Some(Event::Message(_))) => got += 1,
                Ok(other) => {
                    problems.push(format!("after {got} messages: {other:?}"));
                    break;
                }
                Err(_) => {
                    problems.push(format!("{got} of {wanted} messages after {takes:?}"));
                    break;
                }
            }
        }
        match timeout(takes.saturating_sub(start.elapsed()), sending).await {
            Ok(sent) => problems.extend(sent.expect("it does not panic")),
            Err(_) => problems.push(format!("not all sent after {takes:?}")),
        }
        problems
    }

    /// A handwritten peer that reads almost nothing. Its socket must be lost on time, and not before.
    async fn trickle(
        &self,
        server: &Server,
        drops: &Drops,
        mut burst: usize,
        bytes: usize,
        pause: Duration,
    ) -> Result<(), String> {
        let line = Line::to(server).with_capacity(2048);
        let mut peer = Peer::open(&line, &request("id=slow", "rejoin.v1.json"), "$open").await;
        let frame = Frame::new("e", &"x".repeat(900_000)).expect("JSON takes it");
        server.send("slow", &frame).map_err(|error| format!("not sent: {error}"))?;
        let cut = || drops.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
        while burst > 0 {
            sleep(Duration::from_millis(25)).await;
            burst = burst.saturating_sub(peer.take(512).await.unwrap_or_default());
            if let Some((why, _)) = cut() {
                return Err(format!("cut while it took 20 KiB/s: {why}"));
            }
        }
        let since = Instant::now();
        // The average is taken over the write timeout, which may have started with the burst.
        let most = self.write_timeout * 2 + pause * 2;
        while cut().is_none() && since.elapsed() <= most {
            sleep(pause).await;
            peer.take(bytes).await.ok();
        }
        match cut() {
            None => Err(format!("not cut after {:?}", since.elapsed())),
            Some((DropReason::WriteTimeout, at))
                if at.saturating_duration_since(since) >= self.write_timeout / 2 =>
            {
                Ok(())
            }
            Some((why, at)) => Err(format!("cut after {:?}: {why}", at.saturating_duration_since(since))),
        }
    }
}
