//! [`Proxy`]: a TCP proxy that fails on demand.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

/// A TCP proxy between a client and a server. Faults apply to the latest connection. Dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    /// Sends faults to the task of the latest connection.
    latest: Mutex<Option<mpsc::UnboundedSender<Order>>>,
    cuts: Mutex<Option<Cuts>>,
    /// The number of connections that have failed at random.
    failed: watch::Sender<usize>,
    /// The number of bytes that were read from half-open connections.
    swallowed: watch::Sender<usize>,
    /// Whether connections are held back from the server.
    holding: watch::Sender<bool>,
}

/// A fault that the scenario requests.
#[derive(Debug)]
struct Order {
    fault: Fault,
    done: oneshot::Sender<()>,
}

/// How a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Fault {
    /// Both sockets are reset.
    Reset,
    /// Both sockets are closed.
    Close,
    /// Bytes are read and discarded.
    HalfOpen,
}

#[derive(Debug)]
struct Cuts {
    rng: SmallRng,
    mean: usize,
    left: usize,
}

/// A planned fault.
#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    to_server: bool,
    bytes: usize,
}

impl Proxy {
    /// Starts a proxy in front of this server, on its own port.
    ///
    /// # Errors
    /// Fails if no port is free.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            latest: Mutex::default(),
            cuts: Mutex::default(),
            failed: watch::Sender::new(0),
            swallowed: watch::Sender::new(0),
            holding: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(shared.clone(), listener)).abort_handle();
        Ok(Self { addr, shared, accepting })
    }

    /// The address to dial.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Holds later connections back from the server, until [`Self::release`].
    pub fn hold(&self) {
        self.shared.holding.send_replace(true);
    }

    /// Connects the held connections to the server.
    pub fn release(&self) {
        self.shared.holding.send_replace(false);
    }

    /// Makes the latest connection fail, and returns when it has. A connection that has already ended stays as it is.
    ///
    /// # Panics
    /// Panics if there was no connection.
    pub async fn fail(&self, fault: Fault) {
        let latest = self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (done, failed) = oneshot::channel();
        let latest = latest.expect("the client has dialled");
        latest.send(Order { fault, done }).ok();
        // If the connection ends by itself at this moment, the order may be neither taken nor dropped.
        tokio::select! {
            _ = failed => {}
            () = latest.closed() => {}
        }
    }

    /// Waits until half-open connections have discarded this many bytes.
    ///
    /// # Panics
    /// Panics when they do not.
    pub async fn swallowed(&self, bytes: usize) {
        let mut swallowed = self.shared.swallowed.subscribe();
        let waiting = swallowed.wait_for(|swallowed| *swallowed >= bytes);
        super::within("bytes", waiting).await.expect("the sender is ours");
    }

    /// The next `times` connections fail after a random number of bytes in one direction, `mean` on average. The same seed
    /// gives the same numbers.
    pub fn fail_at_random(&self, seed: u64, mean: usize, times: usize) {
        let cuts = Cuts { rng: SmallRng::seed_from_u64(seed), mean, left: times };
        *self.shared.cuts.lock().unwrap_or_else(PoisonError::into_inner) = Some(cuts);
    }

    /// The number of connections that have failed at random.
    pub fn failed(&self) -> usize {
        *self.shared.failed.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                let shared = shared.clone();
                connections.spawn(async move { shared.serve(client).await.ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        self.holding.subscribe().wait_for(|holding| !holding).await.ok();
        let server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let plan = self.plan();
        let (orders, mut ordered) = mpsc::unbounded_channel();
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(orders);
        let mut client = client.into_split();
        let mut server = server.into_split();
        let limit = |to_server| plan.filter(|plan| plan.to_server == to_server).map(|plan| plan.bytes);
        let (reached, order) = tokio::select! {
            // Checked first, so that no byte passes after an order.
            biased;
            Some(order) = ordered.recv() => (false, Some(order)),
            reached = pump(&mut client.0, &mut server.1, limit(true)) => (reached, None),
            reached = pump(&mut server.0, &mut client.1, limit(false)) => (reached, None),
        };
        let planned = plan.filter(|_| reached).map(|plan| plan.fault);
        self.failed.send_modify(|failed| *failed += usize::from(planned.is_some()));
        let (mut fault, mut done) = match order {
            Some(Order { fault, done }) => (Some(fault), Some(done)),
            None => (planned, None),
        };
        if fault == Some(Fault::HalfOpen) {
            tell(done.take());
            let drained = async { tokio::join!(self.swallow(&mut client.0), self.swallow(&mut server.0)) };
            tokio::select! {
                _ = drained => {}
                Some(order) = ordered.recv() => (fault, done) = (Some(order.fault), Some(order.done)),
            }
        }
        if fault == Some(Fault::Reset) {
            reset(client)?;
            reset(server)?;
        } else {
            drop((client, server));
        }
        tell(done);
        Ok(())
    }

    /// Reads and discards bytes until the peer closes.
    async fn swallow(&self, from: &mut OwnedReadHalf) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.swallowed.send_modify(|swallowed| *swallowed += read);
        }
    }

    fn plan(&self) -> Option<Plan> {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        let cuts = cuts.as_mut().filter(|cuts| cuts.left > 0)?;
        cuts.left -= 1;
        let fault = match cuts.rng.random_range(0..20) {
            0 => Fault::HalfOpen,
            1..=6 => Fault::Close,
            _ => Fault::Reset,
        };
        let bytes = cuts.rng.random_range(0..=2 * cuts.mean);
        Some(Plan { fault, to_server: cuts.rng.random(), bytes })
    }
}

/// Closes with a RST and without a FIN.
fn reset((input, output): (OwnedReadHalf, OwnedWriteHalf)) -> io::Result<()> {
    SockRef::from(input.as_ref()).set_linger(Some(Duration::ZERO))?;
    output.forget();
    Ok(())
}

/// Reports that an order has been carried out.
fn tell(done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        // The scenario may have stopped waiting.
        done.send(()).ok();
    }
}

/// Passes bytes on. Returns whether the limit has been reached; otherwise a peer has closed or failed.
async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, limit: Option<usize>) -> bool {
    let mut left = limit;
    let mut buffer = vec![0; 16 * 1024];
    while left != Some(0) {
        let most = left.unwrap_or(usize::MAX).min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { return false };
        if to.write_all(&buffer[..read]).await.is_err() {
            return false;
        }
        left = left.map(|left| left - read);
    }
    true
}
