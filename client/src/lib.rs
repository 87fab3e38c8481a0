//! A WebSocket client whose [`Connection`] is a session that outlives its sockets.
//!
//! The socket may be cut, swapped or taken over: the client dials again by itself, and inside the server's resume window
//! nothing that [`send`](Sender::send) accepted is lost or repeated, in either direction. Where that cannot be kept, an
//! [`Event`] says what is missing.
//!
//! ```no_run
//! use rejoin_client::{Client, Event, Frame};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut connection = Client::builder("wss://chat.example.com/ws").connect().await?;
//! connection.send(&Frame::new("chat.message", "hello")?)?;
//! while let Some(event) = connection.recv().await {
//!     match event {
//!         Event::Message(frame) => println!("{}: {}", frame.event(), frame.decode::<String>()?),
//!         Event::Dropped { reason } => println!("offline: {reason}"),
//!         Event::Restored => println!("online again"),
//!         Event::Closed(closed) => println!("over: {}", closed.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The life of a connection
//!
//! [`ClientBuilder`] checks the options once. [`Client::connect`] dials, upgrades, and waits until the server has opened
//! the session; whatever fails there is a [`ConnectError`], and nothing goes on behind it. From then on one task owns the
//! socket: when it is lost, the task dials again with [backoff](ClientBuilder::reconnect) and offers to resume. It ends
//! for good when the application closes, when the server says so, or when trying again cannot help: [`CloseReason`].
//!
//! # Plain servers
//!
//! By default the server has to speak rejoin's session mode. [`ClientBuilder::plain`] talks to any other that exchanges
//! frames of the codec; then a socket that is lost loses what was under way, as usual.
//!
//! # Logs
//!
//! Through `tracing`, in one span per connection. Tokens and payloads are never logged.

mod builder;
pub use builder::ClientBuilder;

mod client;
pub use client::Client;

mod options;

mod error;
pub use error::{ConfigError, ConnectError, Refusal};

mod connection;
pub use connection::{Connection, ConnectionState, Sender};

mod event;
pub use event::{CloseReason, Closed, Event};

pub mod router;
pub use router::Router;

// --- from a URL to a socket
mod target;

mod dial;

mod upgrade;

mod transport;

// --- from socket to socket
mod reconnect;

mod backoff;

// --- what its users must name
pub use rejoin_codecs::JsonCodec;
pub use rejoin_core::drive::{ReceiptError, SendError};
pub use rejoin_core::{
    CloseFrame, Codec, DecodeError, DropReason, EncodeError, Frame, Gap, LostReason, Message, MessageKind,
    Overflow, Payload, PayloadError, PayloadFormat,
};

#[doc(no_inline)]
pub use {http, rustls};
