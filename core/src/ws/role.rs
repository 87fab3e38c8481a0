//! [`Role`]: the two ends of a connection.

/// Our side of the connection: input of a server must be masked, input of a client must not (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Role {
    /// We accepted the connection.
    Server,
    /// We opened the connection.
    Client,
}
