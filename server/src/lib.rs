//! A WebSocket server whose connections are sessions that outlive their sockets.
//!
//! A [`Connection`] is a session: the socket under it may be cut or replaced, and within the resume window no accepted frame is
//! lost or delivered twice. Where that cannot be guaranteed, the side that misses frames gets a report of the gap.
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
//! // A client, to complete the example.
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
//! # Contents
//!
//! - [`guide`]: getting started, authentication, messages, questions, reconnecting, presence, hooks, limits, deployment, Kubernetes,
//!   recipes, files, testing
//! - [The life of a connection](#the-life-of-a-connection) and the [two modes](#two-modes) of the protocol
//! - [What happens when](#what-happens-when): each event, and its effect on the connection and its callbacks
//! - [Metrics and logs](#metrics-and-logs)
//! - [`Builder`]: all options and callbacks, with their defaults
//! - [`auth`]: ready-made authentication; [`router`]: handlers by event, with [subscriptions](router::Subscriptions)
//!
//! # The life of a connection
//!
//! The server reads and checks an upgrade request ([`Service`]), and [`ConnectFn`] decides who the client is. A valid resume
//! offer continues its session. Any other request opens a fresh session, which joins its rooms and gets its own task. The task
//! reads, decodes, runs the callbacks one after the other, and writes. When its socket is lost, the session waits for the next
//! one until the resume window ends ([`Builder::resume_window`]), and buffers the frames that are sent to it
//! ([`Builder::send_buffer`]). While it waits it has no task, and costs about 500 bytes plus its frames.
//!
//! # Two modes
//!
//! Clients that offer the subprotocol `rejoin.v1.<codec>` get session mode: frames are counted and acknowledged in both
//! directions, and a session is resumed by its token. Any other client gets plain mode: data frames only, and a client that
//! returns with its connection ID gets the frames that were sent while it was away. PROTOCOL.md specifies both.
//!
//! # What happens when
//!
//! | event | the connection | callbacks, or the caller |
//! |---|---|---|
//! | a client connects | a fresh session, a member of its room before the upgrade is answered | connect, once; join for each room |
//! | [`ConnectFn`] refuses, panics, takes too long | none; the answer is the chosen status, 500, 503 | none |
//! | [`ConnectFn`] assigns no ID | gets a random UUID | connect |
//! | another connection claims the ID | by [`DuplicateId`]: replaced, resumed (plain mode), or the newcomer gets 409 | disconnect of the old one: duplicate; then, after at most a second, connect of the new one |
//! | messages arrive | are handled in order, one at a time | message; other connections run concurrently |
//! | a handler takes long | its client has to wait once 64 frames or 1 MiB are read ahead; writing continues | no other connection waits |
//! | a callback panics | ends with 1011; no other connection is affected | disconnect: handler panicked |
//! | [`send`](Connection::send) | gets the frame, and no other connection does | |
//! | [`send`](Server::send) to an unknown ID | | [`SendError::NotFound`] |
//! | sends from many tasks | gets each frame once, those of one task in order | |
//! | [`send`](Connection::send) to a full buffer | continues, the frame is not queued; or by [`Overflow`] | [`SendError::Full`]; [`send_wait`](Connection::send_wait) waits |
//! | [`send_acked`](Connection::send_acked) | gets the frame | returns when the peer has acknowledged it |
//! | [`broadcast`](Server::broadcast) | all members of the room get the frame, in the same order; no other room does | the number of members it was queued for; 0 for an empty or unknown room |
//! | [`broadcast`](Server::broadcast) to an [`Audience`] | each connection of the audience gets the frame once, in one order with the broadcasts of its rooms | as above |
//! | [`join`](Connection::join), [`leave`](Connection::leave) | gets every later broadcast to the room, or none; the membership outlives sockets | whether that is new |
//! | [`broadcast`](Server::broadcast) to a member whose buffer is full | loses its oldest frame, and in session mode gets a report; no other member loses a frame; or by [`Overflow`] | counted in [`Stats::dropped`] |
//! | all sessions together retain [too many bytes](Builder::max_retained_bytes) | histories of rooms give way, then suspended sessions end, the oldest first | disconnect: evicted |
//! | [`join`](Connection::join), [`leave`](Connection::leave), from any task | | join, leave, before the next message |
//! | the socket fails, or is silent for the pong timeout | suspended for the window | drop, away |
//! | the client returns in time, whether or not the loss was noticed | continues; missed frames are replayed in order, before any new one | (drop, away,) restore, back |
//! | the window passes | ends | leave for each room, disconnect: window expired |
//! | the socket fails, and there is no window | ends | disconnect: transport lost; never drop or restore |
//! | [`connections`](Server::connections), [`members`](Server::members) | is listed, also while it is suspended | |
//! | the client closes with 1000, or without a code | ends | disconnect: normal |
//! | the client closes with 1002, 1007, 1008 or 1009 | ends | disconnect: remote |
//! | the client closes with any other code | suspended for the window | drop |
//! | [`Connection::close`], [`close_with`](Connection::close_with) | delivers the accepted frames, then ends | disconnect: local |
//! | [`Server::kick`], suspended or not | ends at once | disconnect: kicked |
//! | [`Server::forbid`], suspended or not | ends at once with 3003; rejoin's client does not come back | disconnect: forbidden |
//! | the [credentials expire](Identity::expires_at), [`Server::reauthenticate`] | the socket is closed with 3000, and the session suspended; rejoin's client resumes with fresh ones | drop: credentials expired; restore |
//! | [`Server::kick`] of an unknown ID | | [`ConnectionError::NotFound`] |
//! | a message is not a frame, is too big, violates the protocol | ends with 1007 or 1008, 1009, 1002 | disconnect: protocol, too big |
//! | [`Server::shutdown`] | delivers the accepted frames, then ends with 1001; suspended sessions end at once | disconnect: server closed; no task remains |
//! | [`Server::drain`] | newcomers get 503; sockets are closed with 1012, idle ones first, and their sessions suspended | drop: draining |
//! | [`send`](Connection::send) or [`broadcast`](Server::broadcast) after a shutdown | | [`SendError::Closed`], [`BroadcastError::ShutDown`] |
//!
//! # Metrics and logs
//!
//! [`Server::stats`] is a snapshot. [`Metrics`] are hooks for counters, gauges and histograms; the feature `metrics` provides an
//! implementation for the facade of the crate `metrics`, and [`DebugMetrics`] one that prints itself.
//!
//! The `tracing` events of a session are inside a span `session` of level debug, with its `id` and `room`: opened, socket
//! dropped, socket attached, gaps. The event closed is at info and has its own ID and room, with the reason, the session's
//! lifetime and its frame counts. The start and the end of a shutdown are at info. Refused upgrades are at info, or at warn if
//! they fail with an error of the application and 5xx, or come from a page of another origin. Events that should not happen, such
//! as a panic in a callback, are at error. The logs never contain payloads, tokens, headers, queries, or the text of a panic,
//! which may quote them. They do contain the text of an application's own [`Reject`], without the token of a resume offer.

#[cfg(doc)]
pub mod guide;

mod server;
#[cfg(feature = "hyper")]
pub use server::Probe;
pub use server::{Drain, Health, Join, JoinRewound, Joining, Member, Server, User};

#[cfg(feature = "script")]
mod script;
#[cfg(feature = "script")]
pub use script::Script;

mod state;
pub use state::ServerState;

mod draining;
pub use draining::Pace;

mod builder;
pub use builder::Builder;

mod options;
pub use options::DuplicateId;

mod connection;
mod context;
mod durable;
pub use connection::{Connection, Input, Presence, WeakConnection};
pub use durable::Durability;

pub mod router;
pub use router::Router;

mod error;
pub use error::{BroadcastError, ConfigError, ConnectionError, JoinError, LeaveError};

mod accept;
#[cfg(feature = "axum")]
pub use accept::Upgrade;
pub use accept::{ConnectFn, ConnectRequest, Identity, InvalidReject, OrReject, Reject, ServeHandle};
#[cfg(feature = "hyper")]
pub use accept::{ResponseBody, Service};

#[cfg(feature = "tls")]
pub use accept::Tls;
#[cfg(unix)]
pub use accept::UnixServeHandle;

pub mod auth;

mod session;
pub use session::handlers::Handler;

mod limits;
pub use limits::{Limit, RatePolicy};

mod fanout;
pub use fanout::audience::Audience;
pub use fanout::rewind::{History, Rewind, Rewound};

mod observe;
#[cfg(feature = "metrics")]
pub use observe::FacadeMetrics;
pub use observe::{
    CallbackKind, CallbackTimes, DebugMetrics, ErrorKind, Metrics, MetricsSnapshot, ResumeRefused, Stats,
};

mod inner;

mod realm;

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
pub use rejoin_core::drive::{Answers, Ask, AskError, DeliveryError, FrameSink, SendError};
#[cfg(feature = "protobuf")]
#[doc(no_inline)]
pub use rejoin_core::prost;
pub use rejoin_core::{
    Cancelled, CloseFrame, CloseReason, Codec, Counts, DecodeError, DropReason, EncodeError, ErrorAnswer,
    Frame, Gap, InvalidClose, Message, MessageKind, Mode, Overflow, Payload, PayloadError, PayloadFormat,
    WhyDropped,
};
#[cfg(feature = "tls")]
#[doc(no_inline)]
pub use rustls;
