//! A WebSocket server whose connections are sessions that outlive their sockets.

mod server;
pub use server::Server;

mod builder;
pub use builder::Builder;

mod options;
pub use options::{ConfigError, DuplicateId};

// A connection arrives.

mod listen;
pub use listen::Listening;

mod service;
pub use service::Service;

mod upgrade;

mod origin;

mod connect;
pub use connect::{ConnectFn, ConnectRequest, Identity, Reject};

// It becomes a session.

mod shared;

mod registry;

mod sharded;

mod session_task;

mod handlers;

mod transport;

mod connection;
pub use connection::Connection;

// Messages fan out.

mod rooms;

// It is watched, and fails.

mod stats;
pub use stats::Stats;

mod error;
pub use error::{BroadcastError, ConnectionError};

pub use http::StatusCode;
pub use rejoin_codecs::JsonCodec;
pub use rejoin_core::drive::SendError;
pub use rejoin_core::{
    CloseFrame, CloseReason, Codec, Counts, DecodeError, DropReason, EncodeError, Frame, Gap, Message,
    MessageKind, Mode, Payload, PayloadError, PayloadFormat,
};
