//! [`UnixServeHandle`]: a listener on a Unix socket.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};

use crate::accept::accepting::accept;
use crate::inner::ServerInner;

/// A listener on a Unix socket that accepts connections until the server is shut down. Dropping the handle does not stop it.
#[derive(Debug)]
pub struct UnixServeHandle {
    task: tokio::task::JoinHandle<()>,
}

impl UnixServeHandle {
    /// Waits until the server has been shut down and the listener is closed.
    pub async fn closed(self) {
        self.task.await.ok();
    }
}

/// Binds a listener at this path. Replaces a socket on which no process listens.
pub(crate) async fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_behind(path).await => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

/// Whether the file is a socket that a process has left behind: the system does not remove it with the process.
async fn is_left_behind(path: &Path) -> bool {
    let is_socket = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .await
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Starts the task that accepts connections from a listener.
pub(crate) fn listen(shared: Arc<ServerInner>, listener: UnixListener) -> io::Result<UnixServeHandle> {
    let local_addr = listener.local_addr()?;
    tracing::info!(?local_addr, "listening");
    let task = shared.tasks.clone().spawn(accept(shared, listener));
    Ok(UnixServeHandle { task })
}
