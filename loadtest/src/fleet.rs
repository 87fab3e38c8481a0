//! [`Fleet`]: many connected clients.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rejoin_client::{ConnectError, Connection, ConnectionState, Sender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, explain};
use crate::latency::Latencies;
use crate::progress::Progress;
use crate::report::Errors;
use crate::run::Run;

/// Connected clients, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) clients: Vec<(u32, Connection)>,
    /// The duration of each handshake, until the session was open.
    pub(crate) handshakes: Latencies,
    pub(crate) errors: Errors,
    /// The duration of all handshakes together.
    pub(crate) time: Duration,
}

/// The consequence of a failed handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failures {
    /// The work fails.
    Fatal,
    /// The failure is counted.
    Counted,
}

/// The deadline for clients to close.
const PARTING: Duration = Duration::from_secs(5);

/// Whether a client has a socket.
pub(crate) fn is_open(sender: &Sender) -> bool {
    sender.state() == ConnectionState::Connected
}

impl Fleet {
    /// Connects these clients, `--concurrency` at a time. If interrupted, returns the clients that were connected by then.
    ///
    /// # Errors
    /// Fails when the first handshake fails, because then the arguments are wrong or there is no server.
    pub(crate) async fn connect<F, Fut>(
        run: &Run,
        numbers: Range<u32>,
        failures: Failures,
        connect: F,
    ) -> Result<Self, Error>
    where
        F: Fn(u32) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Connection, ConnectError>> + Send + 'static,
    {
        let began = Instant::now();
        let shared = Arc::new(Shared {
            connect,
            next: AtomicU32::new(numbers.start + 1),
            end: numbers.end,
            handshakes: Latencies::new(),
            bar: Progress::clients("connecting", numbers.len() as u64),
        });
        let mut fleet = Self {
            clients: Vec::new(),
            handshakes: Latencies::new(),
            errors: Errors::default(),
            time: Duration::ZERO,
        };
        let first = shared.connect_one(numbers.start).await;
        let first = first.map_err(|error| {
            Error::failed(format!("cannot connect to {}: {}", run.target.address(), explain(&error)))
        })?;
        fleet.clients.push((numbers.start, first));
        let mut workers = JoinSet::new();
        for _ in 0..run.common.concurrency.min(numbers.end - numbers.start - 1) {
            workers.spawn(shared.clone().connect_all(failures, run.stop.clone()));
        }
        while let Some(worker) = workers.join_next().await {
            let (clients, errors) = worker.map_err(|error| Error::failed(error.to_string()))?;
            fleet.clients.extend(clients);
            fleet.errors.merge(errors);
        }
        fleet.time = began.elapsed();
        fleet.clients.sort_unstable_by_key(|(number, _)| *number);
        let Ok(shared) = Arc::try_unwrap(shared).map_err(drop) else {
            unreachable!("all workers have ended")
        };
        fleet.handshakes = shared.handshakes;
        match fleet.errors.first() {
            Some(error) if failures == Failures::Fatal => {
                let connected = fleet.clients.len();
                Err(Error::failed(format!(
                    "only {connected} of {} clients could connect: {error}",
                    numbers.len()
                )))
            }
            _ => Ok(fleet),
        }
    }

    /// Handles for sending and closing.
    pub(crate) fn senders(&self) -> Vec<Sender> {
        self.clients.iter().map(|(_, connection)| connection.sender()).collect()
    }
}

struct Shared<F> {
    connect: F,
    next: AtomicU32,
    end: u32,
    handshakes: Latencies,
    bar: Progress,
}

impl<F, Fut> Shared<F>
where
    F: Fn(u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Connection, ConnectError>> + Send + 'static,
{
    async fn connect_all(
        self: Arc<Self>,
        failures: Failures,
        stop: CancellationToken,
    ) -> (Vec<(u32, Connection)>, Errors) {
        let (mut clients, mut errors) = (Vec::new(), Errors::default());
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.end {
                break;
            }
            let Some(connected) = stop.run_until_cancelled(self.connect_one(number)).await else { break };
            match connected {
                Ok(connection) => clients.push((number, connection)),
                Err(error) => {
                    errors.add(explain(&error));
                    if failures == Failures::Fatal {
                        self.next.store(self.end, Ordering::Relaxed);
                    }
                }
            }
        }
        (clients, errors)
    }

    async fn connect_one(&self, number: u32) -> Result<Connection, ConnectError> {
        let began = Instant::now();
        let connection = (self.connect)(number).await?;
        self.handshakes.record_time(number, began.elapsed());
        self.bar.add(1);
        Ok(connection)
    }
}

/// Closes all connections, because otherwise their sessions would stay suspended at the server. Drops those that take too long.
pub(crate) async fn part(senders: Vec<Sender>) {
    let closing = senders.into_iter().map(|sender| async move { drop(sender.close().await) });
    let all: JoinSet<()> = closing.collect();
    tokio::time::timeout(PARTING, all.join_all()).await.ok();
}
