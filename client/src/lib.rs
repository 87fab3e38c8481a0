//! A WebSocket client whose [`Connection`] is a session that outlives its sockets.
//!
//! The socket may be cut, swapped or taken over: the client dials again by itself, and inside the server's resume window
//! nothing that [`send`](Connection::send) accepted is lost or repeated, in either direction. Where that cannot be kept, an
//! [`Event`] says what is missing.
//!
//! ```
//! use rejoin_client::{Client, Event, Frame};
//!
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect)
//! #     .on_message(|me, frame| async move {
//! #         me.send(&frame).expect("the buffer is empty");
//! #         me.close_with(1000, "that was all").expect("a valid close");
//! #     })
//! #     .build()?;
//! # let listening = server.listen("127.0.0.1:0").await?;
//! let url = "wss://chat.example.com/ws";
//! # let url = format!("ws://{}/ws", listening.local_addr());
//! let mut connection = Client::builder(url).await?;
//! connection.send(&Frame::new("chat.message", "hello")?)?;
//! while let Some(event) = connection.recv().await {
//!     match event {
//!         Event::Message(frame) => println!("{}: {}", frame.event(), frame.decode::<String>()?),
//!         Event::Disconnected { reason } => println!("offline: {reason}"),
//!         Event::Reconnected { .. } => println!("online again"),
//!         Event::Closed(closed) => println!("over: {}", closed.reason),
//!         _ => {}
//!     }
//! }
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] goes on from here: showing who you are, what to do when a session is lost, back pressure, closing, proxies and
//! TLS, tests.
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
//! # What happens when
//!
//! | what | the connection | what is told |
//! |---|---|---|
//! | the first dial fails, or is refused | there is none, and nothing goes on | [`ConnectError`] |
//! | the server opens the session | begins | [`Client::connect`] returns |
//! | the server says something | goes on | [`Event::Message`], in the order of its sends |
//! | sends from many tasks | each arrives once, those of one task in their order | |
//! | [`send`](Connection::send) to a full buffer | goes on, the frame is not queued; or by [`Overflow`] | [`SendError::Full`]; [`send_wait`](Connection::send_wait) waits |
//! | [`send_acked`](Connection::send_acked) | waits, over drops too | returns when the server has acknowledged the frame |
//! | the application takes nothing | 64 frames or 1 MiB are read ahead, then the server has to wait | |
//! | the socket dies, or nothing arrives for the pong timeout | dials again with backoff; what is sent is kept | [`Event::Disconnected`] |
//! | it reaches the session within the server's window | goes on; what was missed is replayed in order, before anything new | [`Event::Reconnected`], then messages |
//! | it comes too late, or to a server that was started again | goes on as a fresh session | [`Event::SessionLost`], [`Event::Reconnected`] |
//! | the server shuts down (1001), or its handler panicked (1011) | dials again, for a fresh session | [`Event::Disconnected`], [`Event::SessionLost`], [`Event::Reconnected`] |
//! | the server found it too slow (1013) | dials again with backoff, and learns whether its session is still there | [`Event::Disconnected`], perhaps [`Event::SessionLost`], [`Event::Reconnected`] |
//! | the server drains (1012 `retry in N ms`) | dials again after that time, and resumes | [`Event::Disconnected`], [`Event::Reconnected`] |
//! | the server had to give frames up | goes on | [`Event::Gap`], in their place |
//! | the socket dies, and reconnecting is [turned off](ClientBuilder::no_reconnect) | ends | [`Event::Disconnected`], [`CloseReason::ReconnectDisabled`] |
//! | [`max_retries`](ClientBuilder::max_retries) fail in a row | ends | [`CloseReason::RetriesExhausted`] |
//! | a reconnect is refused with 404, 408, 421, 425, 429 or 5xx | dials again with backoff, not before `Retry-After` | [`Event::Refused`] |
//! | it is refused with 401, and there is a source of fresh [headers](ClientBuilder::dial_headers) or [URLs](ClientBuilder::dial_url) | dials once more | [`Event::Refused`] |
//! | it is refused with another status, or twice with 401 | ends | [`Event::Refused`], [`CloseReason::Refused`] |
//! | the server closes with 1000: kicked, replaced, done | ends | [`CloseReason::Remote`] |
//! | another socket resumes the session (4000) | ends | [`CloseReason::TakenOver`] |
//! | the server breaks the protocol, or sends too big a message | ends | [`CloseReason::Protocol`], [`CloseReason::TooBig`] |
//! | [`close`](Connection::close) | what was accepted is delivered, then it ends; no task is left | no event; [`Closed`] is returned |
//! | [`close`](Connection::close) while it reconnects | goes on dialling for what is to be delivered, within the close timeout; where nothing is, ends at once | [`Closed::unacknowledged`] |
//! | [`close`](Connection::close) races a drop | delivers, or counts | [`Closed::unacknowledged`] |
//! | [`send`](Connection::send) after it | | [`SendError::Closed`] |
//! | [`abort`](Connection::abort), or [`Connection`] is dropped | ends at once; the server keeps the session for its window | no event |
//!
//! The reasons come in [`Event::Closed`], which is last.
//!
//! # Features
//!
//! | feature | what it adds | cost |
//! |---|---|---|
//! | `rustls-tls-webpki-roots` (default) | `wss`, for servers whose certificate comes from an authority that Mozilla trusts | rustls, ring and the list, which is as old as the lock file |
//! | `rustls-tls-native-roots` | `wss`, for servers whose certificate comes from an authority that the operating system trusts | rustls and ring; [`build`](ClientBuilder::build) reads the system's store, which blocks for some milliseconds |
//! | `rustls-tls-manual-roots` | `wss` by a configuration of the application's own alone: `ClientBuilder::tls` | rustls and ring |
//! | `msgpack` | `MsgpackCodec`, and payloads in MessagePack | rmp-serde |
//! | `protobuf` | `ProtobufCodec`, and payloads that are prost messages | prost |
//!
//! A configuration that `ClientBuilder::tls` sets replaces the roots of the features. Without it the client trusts the lists of
//! all features that are on: with both, a system without certificates is no error, and with `rustls-tls-native-roots` alone it is
//! a [`ConfigError`]. No feature needs OpenSSL; `SSL_CERT_FILE` and `SSL_CERT_DIR` name other files of the system's store.
//!
//! With `default-features = false` and none of the `rustls-tls-*` features, the client speaks `ws`, and what a
//! [`connector`](ClientBuilder::connector) brings. A `wss` URL without a connector is then a [`ConfigError`] that names the
//! features.
//!
//! # Logs
//!
//! Through `tracing`, in one span per connection. Tokens and payloads are never logged.

#[cfg(doc)]
pub mod guide;

mod builder;
pub use builder::ClientBuilder;

mod client;
pub use client::Client;

mod options;

mod error;
pub use error::{ConfigError, ConnectError, HandshakeError};

mod refusal;
pub use refusal::Refusal;

mod connection;
pub use connection::Connection;

mod sender;
pub use sender::Sender;

mod state;
pub use state::ConnectionState;

mod event;
pub use event::{CloseReason, Closed, Event};

pub mod router;
pub use router::Router;

// --- from a URL to a socket
mod sources;

mod target;

mod stream;

mod dial;

mod happy_eyeballs;

mod tls;

mod upgrade;

mod answer;

mod cookies;

mod transport;

// --- from socket to socket
mod shared;

mod reconnect;

mod backoff;

mod retries;

mod unread;

// --- what its users must name
#[doc(no_inline)]
pub use rejoin_codecs as codecs;
pub use rejoin_codecs::JsonCodec;
#[cfg(feature = "msgpack")]
pub use rejoin_codecs::MsgpackCodec;
#[cfg(feature = "protobuf")]
pub use rejoin_codecs::ProtobufCodec;
pub use rejoin_core::drive::{DeliveryError, FrameSink, SendError};
#[cfg(feature = "protobuf")]
#[doc(no_inline)]
pub use rejoin_core::prost;
pub use rejoin_core::{
    CloseFrame, Codec, DecodeError, DropReason, EncodeError, Frame, Gap, InvalidClose, LostReason, Message,
    MessageKind, Overflow, Payload, PayloadError, PayloadFormat,
};

#[doc(no_inline)]
pub use http;
#[cfg(feature = "rustls-tls-manual-roots")]
#[doc(no_inline)]
pub use rustls;
