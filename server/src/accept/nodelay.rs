//! [`Nodelay`]: `TCP_NODELAY` of accepted connections.

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

/// Sets `TCP_NODELAY`, so that a frame leaves when it is written and does not wait for further ones.
pub(crate) struct Nodelay {
    /// Whether accepted streams inherit the option from the listener, as on most systems. The first stream shows it.
    inherited: Option<bool>,
}

impl Nodelay {
    pub(crate) fn new(listener: &TcpListener) -> Self {
        // Where it cannot be set here, the first connection shows that it is not inherited.
        SockRef::from(listener).set_tcp_nodelay(true).ok();
        Self { inherited: None }
    }

    pub(crate) fn set(&mut self, stream: &TcpStream) {
        let inherited = *self.inherited.get_or_insert_with(|| stream.nodelay().unwrap_or(false));
        if !inherited && let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::listen::bind;

    #[tokio::test]
    async fn accepted_connections_have_nodelay() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let mut nodelay = Nodelay::new(&listener);
        for _ in 0..2 {
            let (dialled, accepted) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (stream, _) = accepted.unwrap();
            nodelay.set(&stream);
            assert!(stream.nodelay().unwrap());
            drop(dialled);
        }
    }

    /// On systems whose listeners do not pass the option on, it is set on each connection.
    #[tokio::test]
    async fn nodelay_is_set_where_it_is_not_inherited() {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let mut nodelay = Nodelay::new(&listener);
        SockRef::from(&listener).set_tcp_nodelay(false).unwrap();
        for _ in 0..2 {
            let (dialled, accepted) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (stream, _) = accepted.unwrap();
            assert!(!stream.nodelay().unwrap());
            nodelay.set(&stream);
            assert!(stream.nodelay().unwrap());
            drop(dialled);
        }
    }
}
