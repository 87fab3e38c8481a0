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
use tokio::sync::watch;

/// A TCP proxy between a client and a server. Whatever is done to it is done to the latest connection.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    /// The fate of the latest connection.
    latest: Mutex<Option<watch::Sender<Option<Fault>>>>,
    cuts: Mutex<Option<Cuts>>,
    /// Connections that have failed by a random cut.
    failed: watch::Sender<usize>,
}

/// How a connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Fault {
    /// Both sockets are reset.
    Reset,
    /// Both sockets are closed.
    Close,
    /// Bytes are read, and vanish.
    HalfOpen,
}

#[derive(Debug)]
struct Cuts {
    rng: SmallRng,
    mean: usize,
    left: usize,
}

/// A fault that is to come.
#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    to_server: bool,
    bytes: usize,
}

impl Proxy {
    /// A proxy before this server, on a port of its own.
    ///
    /// # Errors
    /// Fails when there is no port.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            latest: Mutex::default(),
            cuts: Mutex::default(),
            failed: watch::Sender::new(0),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = accepting.clone();
                tokio::spawn(async move { shared.serve(client).await.ok() });
            }
        });
        Ok(Self { addr, shared })
    }

    /// Where clients dial.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Has the latest connection fail now.
    ///
    /// # Panics
    /// Panics when there was none.
    pub fn fail(&self, fault: Fault) {
        let latest = self.shared.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().expect("the client has dialled").send_replace(Some(fault));
    }

    /// The next `times` connections fail after a random number of bytes in one direction, `mean` on average. The same seed
    /// gives the same numbers.
    pub fn fail_at_random(&self, seed: u64, mean: usize, times: usize) {
        let cuts = Cuts { rng: SmallRng::seed_from_u64(seed), mean, left: times };
        *self.shared.cuts.lock().unwrap_or_else(PoisonError::into_inner) = Some(cuts);
    }

    /// How many connections have failed at random.
    pub fn failed(&self) -> usize {
        *self.shared.failed.borrow()
    }
}

impl Shared {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let plan = self.plan();
        let (fate, mut told) = watch::channel(None);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(fate.clone());
        let (mut client_in, mut client_out) = client.into_split();
        let (mut server_in, mut server_out) = server.into_split();
        let limit = |to_server| plan.filter(|plan| plan.to_server == to_server).map(|plan| plan.bytes);
        let ended = tokio::select! {
            ended = pump(&mut client_in, &mut server_out, limit(true)) => ended,
            ended = pump(&mut server_in, &mut client_out, limit(false)) => ended,
            fault = told.wait_for(Option::is_some) => End::Fault(fault.ok().and_then(|fault| *fault)),
        };
        let fault = match ended {
            End::Stream => return Ok(()),
            End::Limit => {
                self.failed.send_modify(|failed| *failed += 1);
                plan.map(|plan| plan.fault)
            }
            End::Fault(fault) => fault,
        };
        match fault {
            Some(Fault::Reset) => {
                SockRef::from(client_in.as_ref()).set_linger(Some(Duration::ZERO))?;
                SockRef::from(server_in.as_ref()).set_linger(Some(Duration::ZERO))?;
            }
            Some(Fault::HalfOpen) => swallow(&mut client_in, &mut server_in, &mut told).await,
            _ => {}
        }
        Ok(())
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

enum End {
    /// A peer has closed, or is gone.
    Stream,
    /// The plan's bytes have passed.
    Limit,
    /// The scenario has said so.
    Fault(Option<Fault>),
}

async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, limit: Option<usize>) -> End {
    let mut left = limit;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if left == Some(0) {
            return End::Limit;
        }
        let most = left.unwrap_or(usize::MAX).min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { return End::Stream };
        if to.write_all(&buffer[..read]).await.is_err() {
            return End::Stream;
        }
        left = left.map(|left| left - read);
    }
}

/// Reads, and forgets, until both peers are gone. Neither is told of the other; a fault that the scenario orders ends it.
async fn swallow(
    client: &mut OwnedReadHalf,
    server: &mut OwnedReadHalf,
    told: &mut watch::Receiver<Option<Fault>>,
) {
    async fn drain(from: &mut OwnedReadHalf) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(1..) = from.read(&mut buffer).await {}
    }
    let drained = async { tokio::join!(drain(client), drain(server)) };
    tokio::select! {
        _ = drained => {}
        fault = told.wait_for(|fault| fault.is_some_and(|fault| fault != Fault::HalfOpen)) => {
            if fault.is_ok_and(|fault| *fault == Some(Fault::Reset)) {
                SockRef::from(client.as_ref()).set_linger(Some(Duration::ZERO)).ok();
                SockRef::from(server.as_ref()).set_linger(Some(Duration::ZERO)).ok();
            }
        }
    }
}
