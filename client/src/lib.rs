//! A WebSocket client whose [`Connection`] is a session that outlives its sockets.
//!
//! The client replaces a lost socket by itself. Within the server's resume window, no frame that [`send`](Connection::send)
//! accepted is lost or repeated, in either direction. If that promise cannot be kept, an [`Event`] reports the missing frames.
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
//! The [`guide`] continues from here: credentials, lost sessions, back pressure, closing, proxies and TLS, tests, programs that restart.
//!
//! # The life of a connection
//!
//! [`ClientBuilder`] checks the options once. [`Client::connect`] dials, upgrades, and waits until the server has opened the
//! session; any failure is a [`ConnectError`], and nothing continues in the background. From then on one task owns the socket.
//! When the socket is lost, the task dials again with [backoff](ClientBuilder::reconnect) and offers to resume the session. The
//! connection ends when the application or the server closes it, or when another attempt cannot help: [`CloseReason`].
//!
//! # Plain servers
//!
//! By default the server has to speak rejoin's session mode. With [`ClientBuilder::plain`] the client talks to any other server
//! that exchanges frames of the codec; a lost socket then loses the frames that were under way.
//!
//! # What happens when
//!
//! | what | the connection | the application |
//! |---|---|---|
//! | the first dial fails, or is refused | does not exist, and nothing continues in the background | [`ConnectError`] |
//! | the server opens the session | begins | [`Client::connect`] returns |
//! | the server sends a message | continues | [`Event::Message`], in the order of the sends |
//! | several tasks send | each frame arrives once, those of one task in their order | |
//! | [`send`](Connection::send) to a full buffer | continues, and the frame is not queued; or as [`Overflow`] says | [`SendError::Full`]; [`send_wait`](Connection::send_wait) waits |
//! | [`send_acked`](Connection::send_acked) | continues | the call returns when the server has acknowledged the frame, also after reconnects |
//! | the application takes no events | reads 64 frames or 1 MiB ahead, then the server has to wait | |
//! | the socket dies, or nothing arrives for the pong timeout | dials again with backoff, and keeps frames that are sent meanwhile | [`Event::Disconnected`] |
//! | a dial reaches the session within the server's window | continues; missed frames are replayed in order, before any new frame | [`Event::Reconnected`], then messages |
//! | a dial comes too late, or the server has restarted | continues as a fresh session | [`Event::SessionLost`], [`Event::Reconnected`] |
//! | the server shuts down (1001), or its handler panicked (1011) | dials again, and gets a fresh session | [`Event::Disconnected`], [`Event::SessionLost`], [`Event::Reconnected`] |
//! | the client was too slow (1013) | dials again with backoff, and learns whether its session still exists | [`Event::Disconnected`], [`Event::SessionLost`] if it does not, [`Event::Reconnected`] |
//! | the server drains (1012 `retry in N ms`) | dials again after that time, and resumes | [`Event::Disconnected`], [`Event::Reconnected`] |
//! | the credentials expire (3000) | dials again with fresh ones from its sources, and resumes | [`Event::Disconnected`], [`Event::Reconnected`] |
//! | the server evicted frames | continues | [`Event::Gap`], in their place |
//! | the socket dies, and reconnecting is [turned off](ClientBuilder::no_reconnect) | ends | [`Event::Disconnected`], [`CloseReason::ReconnectDisabled`] |
//! | [`max_retries`](ClientBuilder::max_retries) fail in a row | ends | [`CloseReason::RetriesExhausted`] |
//! | a reconnect is refused with 404, 408, 421, 425, 429 or 5xx | dials again with backoff, not before `Retry-After` | [`Event::Refused`] |
//! | a reconnect is refused with 401, and there is a source of fresh [headers](ClientBuilder::dial_headers), [URLs](ClientBuilder::dial_url) or [tokens](ClientBuilder::token) | dials once more | [`Event::Refused`] |
//! | a reconnect is refused with another status, or twice with 401 | ends | [`Event::Refused`], [`CloseReason::Refused`] |
//! | the server closes with 1000: kicked, replaced, done; or with 3003: forbidden | ends | [`CloseReason::Remote`] |
//! | another socket resumes the session (4000) | ends | [`CloseReason::TakenOver`] |
//! | the server breaks the protocol, or sends a message that is too big | ends | [`CloseReason::Protocol`], [`CloseReason::TooBig`] |
//! | [`close`](Connection::close) | delivers the accepted frames, then ends; no task is left | no event; the call returns [`Closed`] |
//! | [`close`](Connection::close) while it reconnects | dials further to deliver the accepted frames, within the close timeout; ends at once if there are none | [`Closed::unacknowledged`] |
//! | [`close`](Connection::close) races a lost socket | delivers the accepted frames, or counts them | [`Closed::unacknowledged`] |
//! | [`send`](Connection::send) after a close | | [`SendError::Closed`] |
//! | [`save`](Connection::save), then [`Client::resume`] in another process | leaves its process, and continues in the other | [`Event::Disconnected`], [`Event::Reconnected`] |
//! | [`abort`](Connection::abort), or [`Connection`] is dropped | ends at once; the server keeps the session for its window | no event |
//!
//! [`Event::Closed`] has the reason, and is the last event.
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
//! The client logs through `tracing`, in one span per connection. It never logs tokens and payloads.

#[cfg(doc)]
pub mod guide;

mod builder;
pub use builder::ClientBuilder;

mod client;
pub use client::Client;

mod options;

mod error;
pub use error::{ConfigError, ConnectError, HandshakeError, SavedError};

mod refusal;
pub use refusal::Refusal;

mod connection;
pub use connection::Connection;

mod saved;
pub use saved::SavedSession;

mod sender;

mod asking;
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

#[cfg(test)]
mod vectors;

// --- types of other crates in this one's API
#[doc(no_inline)]
pub use rejoin_codecs as codecs;
pub use rejoin_codecs::JsonCodec;
#[cfg(feature = "msgpack")]
pub use rejoin_codecs::MsgpackCodec;
#[cfg(feature = "protobuf")]
pub use rejoin_codecs::ProtobufCodec;
pub use rejoin_core::drive::{Answers, Ask, AskError, DeliveryError, FrameSink, SendError};
#[cfg(feature = "protobuf")]
#[doc(no_inline)]
pub use rejoin_core::prost;
pub use rejoin_core::{
    Cancelled, CloseFrame, Codec, DecodeError, DropReason, EncodeError, ErrorAnswer, Frame, Gap,
    InvalidClose, LostReason, Message, MessageKind, Overflow, Payload, PayloadError, PayloadFormat,
};

#[doc(no_inline)]
pub use http;
#[cfg(feature = "rustls-tls-manual-roots")]
#[doc(no_inline)]
pub use rustls;
