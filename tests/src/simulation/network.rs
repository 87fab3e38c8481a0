//! [`Network`]: the network of a stage.

use std::net::SocketAddr;
use std::time::Duration;

use rejoin_server::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;

use super::schedule::Seat;
use crate::harness::{Line, Target};

/// The network of a stage: how lines lead to servers, and how long it takes to come to rest.
#[derive(Debug, Clone)]
pub(super) enum Network {
    /// Lines in memory, and paused time.
    Memory,
    /// Sockets, in real time. Servers run on this runtime.
    Sockets(Handle),
}

/// How a stage comes to rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The time from the last step until the network is repaired.
    pub(super) unhealed: Duration,
    /// After this much silence nothing more will happen: the largest frame takes less on the slowest line.
    pub(super) silence: Duration,
    /// The interval of checks whether anything has happened.
    pub(super) look: Duration,
    /// The number of checks until the silence must be reached.
    pub(super) patience: u32,
}

impl Network {
    pub(super) fn pace(&self) -> Pace {
        match self {
            // The first value exceeds the time of a restart.
            Self::Memory => Pace {
                unhealed: Duration::from_secs(15),
                silence: Duration::from_secs(8),
                look: Duration::from_secs(8),
                patience: 30,
            },
            // Lines are fast again, so that a silence only has to outlast a busy machine.
            Self::Sockets(_) => Pace {
                unhealed: Duration::from_millis(200),
                silence: Duration::from_millis(700),
                look: Duration::from_millis(100),
                patience: 900,
            },
        }
    }

    /// Creates the line of a seat.
    pub(super) fn line(&self, target: Target, seat: &Seat) -> Line {
        let line = Line::to(target).with_capacity(seat.capacity);
        if let Self::Sockets(_) = self {
            line.listen().expect("there is a port");
        }
        line
    }

    /// Opens the target of lines to this server. It listens until the server is shut down.
    pub(super) fn open(&self, server: &Server, send_buffer: Option<u32>) -> Target {
        match self {
            Self::Memory => Target::from(server),
            Self::Sockets(runtime) => {
                let _entered = runtime.enter();
                let listening = server.serve(listen(send_buffer).expect("there is a port"));
                Target::from(listening.expect("it has an address").local_addr())
            }
        }
    }
}

/// Listens for sockets with this send buffer of the operating system.
fn listen(send_buffer: Option<u32>) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(1024)
}
