//! Why a client could not be built, and why it could not connect.

use std::fmt;
use std::io;
use std::time::Duration;

use rejoin_core::{CloseFrame, DropReason};

/// An option that cannot be: the application's mistake, found by [`ClientBuilder::build`](crate::ClientBuilder::build).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL is not one that a WebSocket can be dialled by. The text does not repeat it: its query may be secret.
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// An option is out of its range.
    Option {
        /// The option, as the builder calls it.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// A header of the dial cannot be sent.
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { why } => write!(f, "not a url of a websocket: {why}"),
            Self::Option { name, value, range } => {
                write!(f, "option {name} is {value}, but has to be {range}")
            }
            Self::Header { name, why } => write!(f, "header {name:?} cannot be sent: {why}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why there is no connection.
///
/// [`Client::connect`](crate::Client::connect) fails with it at once. When a connection that stood is lost, the same errors
/// are reasons to try again, or to [give up](crate::CloseReason).
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option cannot be; nothing was dialled.
    Config(ConfigError),
    /// The host's name has no address: a mistake in it, or no network.
    Resolve(io::Error),
    /// No address of the host, or not the application's connector, gave a stream: the server does not run, or a firewall is
    /// between.
    Dial(io::Error),
    /// TLS failed, or the server's certificate is not one that we trust.
    Tls(io::Error),
    /// The application's [source of headers](crate::ClientBuilder::dial_headers) failed.
    Headers(io::Error),
    /// The server answered the upgrade, but not with one.
    Refused(Refusal),
    /// The answer to the upgrade is not what RFC 6455 demands: whoever answers is no WebSocket server, or a proxy is between.
    Handshake(String),
    /// The server did not select what was offered: in session mode, it does not speak rejoin. Try
    /// [`ClientBuilder::plain`](crate::ClientBuilder::plain).
    Subprotocol {
        /// What was offered.
        offered: String,
        /// What the server selected, if anything.
        selected: Option<String>,
    },
    /// The handshake timeout passed before the server had opened the session.
    Timeout,
    /// The server broke the protocol before it had opened the session.
    Protocol(CloseFrame),
    /// The socket was closed or lost before the server had opened the session.
    Closed(DropReason),
}

/// An answer to the upgrade that is not a WebSocket: what the server, or a proxy before it, has to say against the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The answer's body as text: at most its first 4 KiB, without white space around it.
    pub body: String,
    /// What `Retry-After` said, where it was a number of seconds.
    pub retry_after: Option<Duration>,
}

impl ConnectError {
    //= PROTOCOL.md#7-closing: the client gives up and reports the status and body
    /// The refusal after which trying again cannot help.
    pub(crate) fn final_refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) if matches!(refusal.status, 400 | 401 | 403 | 404 | 409 | 426) => {
                Some(refusal)
            }
            _ => None,
        }
    }

    /// The time before which the server does not want to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the server may have read our request, and may act on it although we have left.
    pub(crate) fn may_have_been_read(&self) -> bool {
        matches!(self, Self::Handshake(_) | Self::Timeout)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Resolve(error) => write!(f, "host has no address: {error}"),
            Self::Dial(error) => write!(f, "dial failed: {error}"),
            Self::Tls(error) => write!(f, "tls failed: {error}"),
            Self::Headers(error) => write!(f, "no headers for the dial: {error}"),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Handshake(why) => write!(f, "answer is not a websocket upgrade: {why}"),
            Self::Subprotocol { offered, selected: Some(selected) } => {
                write!(f, "server selected subprotocol {selected:?}, offered was {offered:?}")
            }
            Self::Subprotocol { offered, selected: None } => {
                write!(f, "server did not select subprotocol {offered:?}: it may not speak rejoin")
            }
            Self::Timeout => f.write_str("session was not opened within the handshake timeout"),
            Self::Protocol(frame) => write!(f, "server broke the protocol: {frame}"),
            Self::Closed(reason) => write!(f, "socket gone before the session was opened: {reason}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server answered with http status {}", self.status)?;
        if !self.body.is_empty() {
            write!(f, ": {}", self.body)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Resolve(error) | Self::Dial(error) | Self::Tls(error) | Self::Headers(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
