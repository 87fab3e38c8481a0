//! [`Medium`]: the transport of a line's bytes.

use std::io;
use std::net::SocketAddr;

use rejoin_server::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;

use super::line::{Line, Target};

/// The transport of the bytes between clients and a server.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_enums, reason = "these are all")]
pub enum Medium {
    /// Pipes in memory. With paused time, everything is deterministic.
    Memory,
    /// TCP on the loopback interface, in real time. Servers run on this runtime.
    Tcp(Handle),
}

impl Medium {
    /// Opens the target of lines to this server. Over TCP it listens until the server is shut down, and the operating system
    /// buffers about `send_buffer` bytes per socket.
    ///
    /// # Panics
    /// Panics if no port is free.
    pub fn open(&self, server: &Server, send_buffer: Option<u32>) -> Target {
        match self {
            Self::Memory => Target::from(server),
            Self::Tcp(runtime) => {
                let _entered = runtime.enter();
                let serving = server.serve(listen(send_buffer).expect("there is a port"));
                Target::from(serving.expect("it has an address").local_addr())
            }
        }
    }

    /// Creates a line whose connections hold this many bytes in each direction.
    ///
    /// # Panics
    /// Panics if no port is free.
    pub fn line(&self, target: Target, capacity: usize) -> Line {
        let line = Line::to(target).with_capacity(capacity);
        if let Self::Tcp(_) = self {
            line.listen().expect("there is a port");
        }
        line
    }
}

/// Listens for sockets with this send buffer of the operating system.
fn listen(send_buffer: Option<u32>) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(1024)
}
