//! [`Network`]: what a stage plays on.

use std::net::SocketAddr;
use std::time::Duration;

use rejoin_server::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;

use super::schedule::Seat;
use crate::harness::{Line, Target};

/// What a stage plays on: how lines lead to servers, and how long it takes until nothing happens any more.
#[derive(Debug, Clone)]
pub(super) enum Network {
    /// Lines in memory, and paused time.
    Memory,
    /// Sockets, and the time of the clock on the wall. Servers run on this runtime.
    Sockets(Handle),
}

/// How a stage comes to rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From the last step to the whole network.
    pub(super) unhealed: Duration,
    /// When nothing happens for so long, nothing will: the biggest frame takes less on the slowest line.
    pub(super) silence: Duration,
    /// How often it is looked whether something has happened.
    pub(super) look: Duration,
    /// So many looks it may take until nothing happens.
    pub(super) patience: u32,
}

impl Network {
    pub(super) fn pace(&self) -> Pace {
        match self {
            // The first is beyond what a restart takes.
            Self::Memory => Pace {
                unhealed: Duration::from_secs(15),
                silence: Duration::from_secs(8),
                look: Duration::from_secs(8),
                patience: 30,
            },
            // Lines are quick again: a silence is for a machine that has other things to do.
            Self::Sockets(_) => Pace {
                unhealed: Duration::from_millis(200),
                silence: Duration::from_millis(700),
                look: Duration::from_millis(100),
                patience: 900,
            },
        }
    }

    /// A line for whoever sits there.
    pub(super) fn line(&self, target: Target, seat: &Seat) -> Line {
        let line = Line::to(target).with_capacity(seat.capacity);
        if let Self::Sockets(_) = self {
            line.listen().expect("there is a port");
        }
        line
    }

    /// Where lines to this server lead. Whatever listens does so until the server is shut down.
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

/// Accepts sockets that take so many bytes before they are sent.
fn listen(send_buffer: Option<u32>) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(1024)
}
