//! A WebSocket server whose connections are sessions that outlive their sockets.
//!
//! A [`Connection`] is a session: the socket under it may be cut, swapped or taken over, and inside the resume window
//! nothing that was accepted is lost or repeated. Where that cannot be kept, the side that misses something is told what.
//!
//! ```
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//!     let room = request.query("room").ok_or_else(|| Reject::unauthorized("which room?"))?;
//!     Ok(Identity::new().with_room(room))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect)
//!     .on_message(|connection, frame| async move {
//!         connection.send_wait(&frame).await.ok();
//!     })
//!     .build()?;
//! let listening = server.listen("127.0.0.1:0").await?;
//!
//! // A client of ours, for the sake of the example.
//! let url = format!("ws://{}/?room=lobby", listening.local_addr());
//! let mut client = rejoin_client::Client::builder(url).connect().await?;
//! client.send(&rejoin_client::Frame::new("chat.message", "hello")?)?;
//! let Some(rejoin_client::Event::Message(echo)) = client.recv().await else { panic!("no echo") };
//! assert_eq!(echo.decode::<String>()?, "hello");
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] goes on from here: authentication, rooms, limits, shutdown, deployment, tests.
//!
//! # The life of a connection
//!
//! An upgrade request is read and checked ([`Service`]), and [`ConnectFn`] says who it is. A resume offer that holds goes on
//! with its session; anything else opens a fresh one, which joins its room and gets a task of its own. That task reads,
//! decodes, runs the callbacks one after the other, and writes. When the socket is lost the session waits for the next one,
//! for the resume window ([`Builder::resume_window`]); frames sent meanwhile are kept ([`Builder::send_buffer`]). While it waits
//! it has no task, and costs about 500 bytes beside its frames.
//!
//! # Two modes
//!
//! Clients that offer the subprotocol `rejoin.v1.<codec>` get session mode: frames are counted and acknowledged, in both
//! directions, and a session is resumed by its token. Any other client gets plain mode: data frames only, and what was sent
//! while it was away when it comes back with its connection ID. PROTOCOL.md has it all.
//!
//! # What happens when
//!
//! | what | the connection | callbacks, or the caller |
//! |---|---|---|
//! | a client connects | a fresh session, a member of its room before the upgrade is answered | connect, once |
//! | [`ConnectFn`] refuses, panics, takes too long | none: its own status, 500, 503 | none |
//! | [`ConnectFn`] assigns no ID | gets a random UUID | connect |
//! | another connection claims the ID | by [`DuplicateId`]: replaced, resumed (plain mode), or the newcomer gets 409 | disconnect of the old one: duplicate; then, after a second at most, connect of the new one |
//! | messages arrive | are handled in order, one at a time | message; those of other connections run beside it |
//! | a handler takes long | its client waits once 64 frames or 1 MiB are read ahead; writing goes on | nobody else waits |
//! | a callback panics | ended with 1011, nothing else is touched | disconnect: handler panicked |
//! | [`send`](Connection::send) | gets the frame, and nobody else does | |
//! | [`send`](Server::send) to an unknown ID | | [`SendError::NotFound`] |
//! | sends from many tasks | gets each once, those of one task in their order | |
//! | [`send`](Connection::send) to a full buffer | goes on, the frame is not queued; or by [`Overflow`] | [`SendError::Full`]; [`send_wait`](Connection::send_wait) waits |
//! | [`send_acked`](Connection::send_acked) | gets the frame | returns when the peer has acknowledged it |
//! | [`broadcast`](Server::broadcast) | all members of that room get it, in the same order; no other room does | for how many it was queued; 0 for an empty or unknown room |
//! | [`broadcast`](Server::broadcast) to one whose buffer is full | loses its oldest frame, and is told so in session mode; nobody else loses any; or by [`Overflow`] | counted in [`Stats::dropped`] |
//! | all sessions together keep [too much](Builder::max_retained_bytes) | suspended ones end, the oldest first | disconnect: evicted |
//! | the socket dies, or nothing arrives for the pong timeout | suspended for the window | drop |
//! | the client comes back in time, noticed or not | goes on; what it missed is replayed in order, before anything new | (drop,) restore |
//! | the window passes | ended | disconnect: window expired |
//! | the socket dies, and there is no window | ended | disconnect: transport lost; never drop or restore |
//! | [`connections`](Server::connections) | is listed while it is suspended, too | |
//! | the client closes with 1000, or without a code | ended | disconnect: normal |
//! | the client closes with 1002, 1007, 1008 or 1009 | ended | disconnect: remote |
//! | the client closes with any other code | suspended for the window | drop |
//! | [`Connection::close`], [`close_with`](Connection::close_with) | what was accepted is delivered, then ended | disconnect: local |
//! | [`Server::kick`], suspended or not | ended at once | disconnect: kicked |
//! | [`Server::kick`] of an unknown ID | | [`ConnectionError::NotFound`] |
//! | a message is no frame, too big, against the protocol | ended with 1007 or 1008, 1009, 1002 | disconnect: protocol, too big |
//! | [`Server::shutdown`] | what was accepted is delivered, then ended with 1001; suspended ones end at once | disconnect: server closed; no task is left |
//! | [`send`](Connection::send) or [`broadcast`](Server::broadcast) after it | | [`SendError::Closed`], [`BroadcastError::ShutDown`] |
//!
//! # What is counted and logged
//!
//! [`Server::stats`] is a snapshot; [`Metrics`] are hooks for counters, gauges and histograms, with one for the facade of the
//! crate `metrics` under the feature `metrics`.
//!
//! `tracing` events of a session are inside a span `session` of level debug, with its `id` and `room`: opened, socket dropped
//! and attached, gaps; at info, with ID and room of its own: closed, with why, how long it lived and how much has passed. The beginning and
//! the end of a shutdown are at info. Upgrades that are refused are at debug, with 5xx at info; what
//! should not happen, such as a callback that panics, at error. Payloads, tokens, headers and queries are never logged, nor
//! the text of a panic, which may quote them. That of an application's own [`Reject`] is, without the token of a resume offer.

#[cfg(doc)]
pub mod guide;

mod server;
pub use server::Server;

mod builder;
pub use builder::Builder;

mod options;
pub use options::{ConfigError, DuplicateId};

mod connection;
pub use connection::{Connection, WeakConnection};

pub mod router;
pub use router::Router;

mod error;
pub use error::{BroadcastError, ConnectionError};

mod accept;
pub use accept::{ConnectFn, ConnectRequest, Identity, OrReject, Reject, ServeHandle};
#[cfg(feature = "hyper")]
pub use accept::{ResponseBody, Service};

mod session;
pub use session::handlers::Handler;

mod fanout;

mod observe;
#[cfg(feature = "metrics")]
pub use observe::FacadeMetrics;
pub use observe::{CallbackKind, Metrics, ResumeRefused, Stats};

mod inner;

mod runtimes;

#[cfg(all(test, rejoin_model))]
mod scenarios;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod waking;

pub use http::StatusCode;
#[doc(no_inline)]
pub use rejoin_codecs as codecs;
pub use rejoin_codecs::JsonCodec;
#[cfg(feature = "msgpack")]
pub use rejoin_codecs::MsgpackCodec;
#[cfg(feature = "protobuf")]
pub use rejoin_codecs::ProtobufCodec;
pub use rejoin_core::drive::{DeliveryError, SendError};
#[cfg(feature = "protobuf")]
#[doc(no_inline)]
pub use rejoin_core::prost;
pub use rejoin_core::{
    CloseFrame, CloseReason, Codec, Counts, DecodeError, DropReason, EncodeError, Frame, Gap, InvalidClose,
    Message, MessageKind, Mode, Overflow, Payload, PayloadError, PayloadFormat,
};
