//! [`BoxIo`]: the byte stream that a WebSocket runs over.

use tokio::io::{AsyncRead, AsyncWrite};

/// Any byte stream: TCP, TLS over it, or the stream that the application's connector brings.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) type BoxIo = Box<dyn Io>;
