//! Sockets whose first bytes already end them: attached and lost in one poll, beside suspended sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rejoin_server::Server;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::check::{Findings, Property};
use super::peer::{Peer, masked, request};
use super::{Plan, in_paused_time};
use crate::harness::connect;
use crate::network::Line;

/// Timers are a little late, and a socket needs a moment to attach.
const SLACK: Duration = Duration::from_millis(50);

/// Sessions that lose their socket once, and some that return for a moment, again and again.
#[derive(Debug)]
pub(super) struct Haste {
    window: Duration,
    sessions: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    plain: bool,
    /// When it connects, and how long it stays.
    at: Duration,
    stays: Duration,
    /// How often it returns for a moment, each time after this pause.
    returns: usize,
    pause: Duration,
    end: End,
}

/// The bytes directly after the upgrade request.
#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Eof,
    CloseAndEof,
}

/// When a session lost its last socket, and when it ended.
#[derive(Debug, Default, Clone, Copy)]
struct Delivery {
    lost: Option<Instant>,
    ended: Option<Instant>,
}

type Fates = Arc<Mutex<BTreeMap<String, Delivery>>>;

fn note(fates: &Fates, id: &str, change: impl FnOnce(&mut Delivery)) {
    let mut fates = fates.lock().unwrap_or_else(PoisonError::into_inner);
    change(fates.entry(id.to_owned()).or_default());
}

impl Plan for Haste {
    fn draw(rng: &mut SmallRng) -> Self {
        let window = Duration::from_millis(rng.random_range(500..20_000));
        let hasty = rng.random_range(1..=2);
        let sessions = (0..hasty + rng.random_range(1..=6)).map(|index| Client {
            plain: rng.random_range(0..3) > 0,
            at: Duration::from_millis(rng.random_range(0..1_000)),
            stays: Duration::from_millis(rng.random_range(1..500)),
            returns: if index < hasty { rng.random_range(5..=60) } else { 0 },
            pause: window.mul_f64(rng.random_range(0.02..0.9)),
            end: *[End::Close, End::Eof, End::CloseAndEof].choose(rng).expect("there are some"),
        });
        Self { window, sessions: sessions.collect() }
    }

    fn play(self) -> Findings {
        in_paused_time(async move {
            let fates = Fates::default();
            let noted = fates.clone();
            let server = Server::builder(connect).resume_window(self.window).on_disconnect(move |one, _| {
                note(&noted, one.id(), |fate| fate.ended = Some(Instant::now()));
                async {}
            });
            let server = server.build().expect("the options are in their ranges");
            let clients =
                self.sessions.iter().enumerate().map(|(index, client)| {
                    tokio::spawn(client.live(index, Line::to(&server), fates.clone()))
                });
            for client in clients.collect::<Vec<_>>() {
                client.await.expect("a client does not panic");
            }
            sleep(self.window + SLACK).await;
            let fates = std::mem::take(&mut *fates.lock().unwrap_or_else(PoisonError::into_inner));
            self.check(&fates)
        })
    }
}

impl Client {
    fn live(&self, index: usize, line: Line, fates: Fates) -> impl Future<Output = ()> + Send + use<> {
        let Self { plain, at, stays, returns, pause, end } = *self;
        let id = format!("s{index}");
        let (query, codec) = (format!("id={id}"), if plain { "" } else { "rejoin.v1.json" });
        let start = Instant::now();
        async move {
            sleep_until(start + at).await;
            // In plain mode the server only sends the answer.
            let sign = if plain { "\r\n\r\n" } else { "$open" };
            let peer = Peer::open(&line, &request(&query, codec), sign).await;
            let offer = peer.token().map(|token| format!("{codec}, rejoin.resume.{token}.0"));
            sleep(stays).await;
            drop(peer);
            note(&fates, &id, |fate| fate.lost = Some(Instant::now()));
            for _ in 0..returns {
                sleep(pause).await;
                let mut bytes = request(&query, offer.as_deref().unwrap_or_default());
                if let End::Close | End::CloseAndEof = end {
                    bytes.extend(masked(0x88, &1001_u16.to_be_bytes()));
                }
                let mut peer = Peer::dial(&line, &bytes).await;
                if let End::Eof | End::CloseAndEof = end {
                    peer.finish().await;
                }
                note(&fates, &id, |fate| fate.lost = Some(Instant::now()));
                peer.read_to_end().await;
            }
        }
    }
}

impl Haste {
    /// A window starts with the loss of the last socket, and expires on time, whatever other sessions do.
    fn check(&self, fates: &BTreeMap<String, Delivery>) -> Findings {
        let mut findings = Findings::default();
        for index in 0..self.sessions.len() {
            let id = format!("s{index}");
            let text = match fates.get(&id) {
                Some(Delivery { lost: Some(lost), ended: Some(ended) }) => {
                    let waited = ended.saturating_duration_since(*lost);
                    if waited >= self.window && waited <= self.window + SLACK {
                        continue;
                    }
                    format!("{id} ended {waited:?} after its loss, with a window of {:?}", self.window)
                }
                fate => format!("{id} has not ended: {fate:?}"),
            };
            findings.add(Property::Windows, text);
        }
        findings
    }
}
