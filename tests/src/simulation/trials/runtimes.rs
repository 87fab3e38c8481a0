//! Messages from short-lived runtimes and plain threads, and sessions that a short-lived runtime has served: over sockets, in
//! real time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rejoin_server::{Frame, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};

use super::super::check::{Findings, Property};
use super::Plan;
use super::peer::request;
use crate::harness::connect;

/// A busy machine delays a message by less. The heartbeat comes much later.
const PATIENCE: Duration = Duration::from_secs(5);

const HEARTBEAT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(120));

/// A server in its own runtime, and the actions of other threads and runtimes on it.
#[derive(Debug)]
pub(super) struct Runtimes {
    workers: usize,
    window: Duration,
    /// Sessions that a short-lived runtime serves, and whether it is the first to serve any.
    foreign: usize,
    foreign_first: bool,
    members: usize,
    sends: Vec<(From, bool)>,
}

/// The origin of a message.
#[derive(Debug, Clone, Copy)]
enum From {
    ShortRuntime,
    PlainThread,
}

impl Plan for Runtimes {
    fn draw(rng: &mut SmallRng) -> Self {
        let sends: Vec<_> = (0..rng.random_range(2..=6))
            .map(|_| {
                (*[From::ShortRuntime, From::PlainThread].choose(rng).expect("there are some"), rng.random())
            })
            .collect();
        Self {
            workers: rng.random_range(1..=2),
            sends,
            window: Duration::from_millis(rng.random_range(50..300)),
            foreign: rng.random_range(0..=3),
            foreign_first: rng.random(),
            members: rng.random_range(1..=40),
        }
    }

    fn play(self) -> Findings {
        let mut findings = Findings::default();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let noted = ends.clone();
        let server = Server::builder(connect).heartbeat(HEARTBEAT.0, HEARTBEAT.1);
        let drops = Arc::new(AtomicUsize::new(0));
        let counted = drops.clone();
        let server = server.on_transport_drop(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        let server = server.resume_window(self.window).on_disconnect(move |one, why| {
            let end = (one.id().to_owned(), why.kind(), Instant::now());
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(end);
            async {}
        });
        let server = server.build().expect("the options are in their ranges");
        let own = runtime(self.workers);
        let foreign = || {
            let (since, runtime) = (Instant::now(), one_thread());
            runtime.block_on(self.serve_elsewhere(&server, &drops));
            (since, runtime)
        };
        let early = self.foreign_first.then(&foreign);
        let listening = own.block_on(server.listen("127.0.0.1:0")).expect("there is a port");
        let mut sockets: Vec<_> = (0..self.members).map(|_| Socket::open(listening.local_addr())).collect();
        let (since, elsewhere) = early.unwrap_or_else(foreign);
        drop(elsewhere);
        for (number, (from, all)) in self.sends.iter().copied().enumerate() {
            let text = format!("hello-{number}");
            let members =
                if all { server.connections("room") } else { server.connections("room")[..1].into() };
            // The session of the first socket is addressed by its ID.
            let id = (!all).then(|| members[0].id().to_owned());
            let start = Instant::now();
            let (server, message) = (server.clone(), text.clone());
            let sender = thread::spawn(move || {
                let says = || {
                    let frame = Frame::new("e", &message).expect("JSON takes it");
                    match &id {
                        Some(id) => server.send(id, &frame).is_ok(),
                        None => server.broadcast("room", &frame).is_ok(),
                    }
                };
                match from {
                    From::PlainThread => says(),
                    From::ShortRuntime => one_thread().block_on(async { says() }),
                }
            });
            let sent = sender.join().expect("it does not panic");
            let wanted = if all { self.members } else { 1 };
            let got = wait_for(&mut sockets, &text, wanted, start);
            if !sent || got < wanted {
                let took = start.elapsed();
                let text =
                    format!("message {number} by {from:?}: {got} of {wanted} members have it after {took:?}");
                findings.add(Property::Pace, text);
            }
        }
        let lost = Instant::now();
        drop(sockets);
        self.check_ends(&server, &ends, since, lost, &mut findings);
        own.shutdown_background();
        findings
    }
}

type Ends = Arc<Mutex<Vec<(String, &'static str, Instant)>>>;

impl Runtimes {
    /// Sessions that another runtime serves. Their sockets are lost before it ends.
    async fn serve_elsewhere(&self, server: &Server, drops: &AtomicUsize) {
        for index in 0..self.foreign {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            server.spawn_connection(ours, None);
            let asked = theirs.write_all(&request(&format!("room=other&id=f{index}"), "")).await;
            asked.expect("there is space");
            theirs.read_u8().await.expect("the server answers");
        }
        let since = Instant::now();
        while drops.load(Ordering::SeqCst) < self.foreign && since.elapsed() < PATIENCE {
            tokio::task::yield_now().await;
        }
    }

    fn check_ends(
        &self,
        server: &Server,
        ends: &Ends,
        foreign_since: Instant,
        lost: Instant,
        findings: &mut Findings,
    ) {
        let all = self.members + self.foreign;
        let count = || ends.lock().unwrap_or_else(PoisonError::into_inner).len();
        while count() < all && lost.elapsed() < self.window + PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        for (id, kind, at) in ends.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let since = if id.starts_with('f') { foreign_since } else { lost };
            let waited = at.saturating_duration_since(since);
            if *kind != "window_expired" || waited < self.window {
                let text = format!("{id} ended after {waited:?} of {:?}: {kind}", self.window);
                findings.add(Property::Windows, text);
            }
        }
        if count() < all {
            let text = format!("{} of {all} have ended, {} wait", count(), server.stats().suspended);
            findings.add(Property::Windows, text);
        }
    }
}

fn runtime(workers: usize) -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    runtime.expect("the system has threads to give")
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime needs little")
}

/// A connected plain client.
struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    fn open(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).expect("the server listens");
        stream.write_all(&request("", "")).expect("the server reads");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        let mut socket = Self { stream, read: Vec::new() };
        while !socket.has("\r\n\r\n") && socket.read_some(PATIENCE) {}
        socket
    }

    fn has(&self, text: &str) -> bool {
        self.read.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// Whether any byte has arrived.
    fn read_some(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).expect("it is not zero");
        let mut buffer = [0; 1024];
        let count = self.stream.read(&mut buffer).unwrap_or_default();
        self.read.extend(&buffer[..count]);
        count > 0
    }
}

/// The number of sockets that have received a text, once `wanted` have, or the patience is over.
fn wait_for(sockets: &mut [Socket], text: &str, wanted: usize, start: Instant) -> usize {
    let one_of_many = wanted < sockets.len();
    let mut got = 0;
    while got < wanted && start.elapsed() < PATIENCE {
        got = 0;
        for socket in sockets.iter_mut() {
            // A single socket may be waited for; of several, each is polled in turn.
            let most = if one_of_many { Duration::from_millis(1) } else { PATIENCE };
            while !socket.has(text) {
                let rest = PATIENCE.saturating_sub(start.elapsed()).min(most);
                if !socket.read_some(rest) {
                    break;
                }
            }
            got += usize::from(socket.has(text));
            if one_of_many && got == wanted {
                break;
            }
        }
    }
    got
}
