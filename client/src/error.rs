//! The errors of building a client and of connecting it.

use std::fmt;
use std::io;

use rejoin_core::snapshot::SnapshotError;
use rejoin_core::{CloseFrame, DropReason};

use crate::refusal::Refusal;

/// An invalid option, reported by [`ClientBuilder::build`](crate::ClientBuilder::build).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL is not that of a WebSocket. The text does not repeat the URL, because its query may be secret.
    Url {
        /// The reason why it is invalid.
        why: String,
    },
    /// An option is out of range.
    Option {
        /// The builder's method.
        option: &'static str,
        /// The value that it was set to.
        value: String,
        /// The values that it takes.
        range: &'static str,
    },
    /// A `wss` URL needs TLS, and the client has none: no feature `rustls-tls-*` is on, or no authority is trusted.
    Tls {
        /// The missing part.
        why: String,
    },
    /// A header cannot be sent with a dial.
    Header {
        /// Its name.
        name: String,
        /// The reason why it is invalid.
        why: &'static str,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { why } => write!(f, "invalid url: {why}"),
            Self::Option { option, value, range } => {
                write!(f, "invalid `{option}`: {value} (expected {range})")
            }
            Self::Tls { why } => write!(f, "no tls for wss: {why}"),
            Self::Header { name, why } => write!(f, "invalid header {name:?}: {why}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why a dial failed.
///
/// [`Client::connect`](crate::Client::connect) returns it at once. When a connection reconnects, the same errors make it try
/// again, or [end](crate::CloseReason).
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option is invalid; the client did not dial.
    Config(ConfigError),
    /// The host's name does not resolve: it is wrong, or there is no network.
    Resolve(io::Error),
    /// TCP to all of the host's addresses, or the application's connector, failed: the server does not run, or a firewall blocks
    /// it.
    Dial(io::Error),
    /// TLS failed, or the server's certificate is not trusted.
    Tls(io::Error),
    /// The server does not speak TLS on this port: the URL has to be `ws`, or have another port.
    NoTls,
    /// The application's [source of URLs](crate::ClientBuilder::dial_url) failed.
    Url(io::Error),
    /// The application's [source of headers](crate::ClientBuilder::dial_headers) failed.
    Headers(io::Error),
    /// The application's [source of tokens](crate::ClientBuilder::token) failed, or its token is empty or too long.
    Token(io::Error),
    /// The saved session does not fit the client ([`Client::resume`](crate::Client::resume)); the client did not dial.
    Saved(SavedError),
    /// The server refused the upgrade.
    Refused(Refusal),
    /// The answer to the upgrade is not HTTP, or violates RFC 6455 §4.1: the other end is not a WebSocket server, or a proxy
    /// intervenes.
    Handshake(HandshakeError),
    /// The server did not select the offered subprotocol: in session mode, it does not speak rejoin. Try
    /// [`ClientBuilder::plain`](crate::ClientBuilder::plain).
    Subprotocol {
        /// The subprotocols that were offered.
        offered: String,
        /// The subprotocol that the server selected, if any.
        selected: Option<String>,
    },
    /// The handshake timeout passed before the server had opened the session.
    Timeout,
    /// The server broke the protocol before it had opened the session.
    Protocol(CloseFrame),
    /// The socket was closed or lost before the server had opened the session.
    Closed(DropReason),
    /// The server opened the session, and ended it or its socket soon after. Occurs only in
    /// [`RetriesExhausted`](crate::CloseReason::RetriesExhausted), for the last reconnect.
    ShortLived(DropReason),
}

/// Why an answer to the upgrade could not be read, or is not an upgrade. The text never repeats the answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Writing the request or reading the answer failed.
    Io(io::Error),
    /// The stream ended within the head of the answer.
    Ended,
    /// The server speaks TLS on this port: the URL has to be `wss`.
    Tls,
    /// The answer is in another protocol.
    NotHttp,
    /// The head of the answer breaks the rules of HTTP/1.1.
    Malformed,
    /// The head of the answer, with the interim answers (1xx) before it, is longer than 64 KiB.
    TooLong,
    /// A header of the upgrade is missing or wrong.
    #[non_exhaustive]
    Header {
        /// Its name.
        name: &'static str,
        /// The value that it must have.
        expected: &'static str,
    },
}

/// Why a saved session cannot be resumed by a client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SavedError {
    /// Its messages are encoded in another codec.
    #[non_exhaustive]
    Codec {
        /// The codec of the saved session.
        saved: String,
        /// The client's codec.
        expected: String,
    },
    /// The client has another mode, or smaller buffers, or the content is damaged.
    Snapshot(SnapshotError),
}

impl ConnectError {
    /// Whether the server may have read the request, and may act on it after the client has abandoned the dial.
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
            Self::NoTls => {
                f.write_str("tls failed: server does not speak tls on this port (use ws, or another port)")
            }
            Self::Url(error) => write!(f, "no url for the dial: {error}"),
            Self::Headers(error) => write!(f, "no headers for the dial: {error}"),
            Self::Token(error) => write!(f, "no token for the dial: {error}"),
            Self::Saved(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Handshake(error) => write!(f, "upgrade failed: {error}"),
            Self::Subprotocol { offered, selected: Some(selected) } => {
                write!(f, "server selected subprotocol {selected:?}, offered was {offered:?}")
            }
            Self::Subprotocol { offered, selected: None } => {
                write!(f, "server did not select subprotocol {offered:?}: it may not speak rejoin")
            }
            Self::Timeout => f.write_str("session was not opened within the handshake timeout"),
            Self::Protocol(frame) => write!(f, "server broke the protocol: {frame}"),
            Self::Closed(reason) => write!(f, "socket gone before the session was opened: {reason}"),
            Self::ShortLived(reason) => write!(f, "socket gone soon after the session was opened: {reason}"),
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "stream failed: {error}"),
            Self::Ended => f.write_str("stream ended within the head of the answer"),
            Self::Tls => f.write_str("server speaks tls on this port (expected plain http; use wss)"),
            Self::NotHttp => f.write_str("answer is not http"),
            Self::Malformed => f.write_str("head of the answer is malformed"),
            Self::TooLong => f.write_str("head of the answer is too long (expected at most 64 KiB)"),
            Self::Header { name, expected } => write!(f, "wrong header {name} (expected {expected})"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Resolve(error)
            | Self::Dial(error)
            | Self::Tls(error)
            | Self::Url(error)
            | Self::Headers(error)
            | Self::Token(error) => Some(error),
            Self::Saved(error) => Some(error),
            Self::Handshake(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec { saved, expected } => {
                write!(f, "saved session has another codec: {saved} (expected {expected})")
            }
            Self::Snapshot(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SavedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Snapshot(error) => Some(error),
            Self::Codec { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn source_is_the_error_of_stream_or_application() {
        let io = || io::Error::from(io::ErrorKind::BrokenPipe);
        let handshake = HandshakeError::Io(io());
        assert_eq!(handshake.source().unwrap().to_string(), io().to_string());
        assert!(HandshakeError::NotHttp.source().is_none());
        for wrap in [
            ConnectError::Resolve,
            ConnectError::Dial,
            ConnectError::Tls,
            ConnectError::Url,
            ConnectError::Headers,
            ConnectError::Token,
        ] {
            let error = wrap(io());
            assert_eq!(error.source().unwrap().to_string(), io().to_string(), "{error:?}");
        }
        let nested = ConnectError::from(handshake);
        assert_eq!(nested.source().unwrap().source().unwrap().to_string(), io().to_string());
        assert!(ConnectError::Timeout.source().is_none());
    }
}
