//! Joins a [`Session`](crate::Session) to a transport: the one async loop, shared by server and client.
//!
//! [`SharedSession`] is a session behind a lock, shared by its application and its driver. [`SocketDriver`] drives one attached
//! socket: it passes the frames that the [`Transport`] reads to the session, and writes the frames that the session returns.
//! [`Deadline`] is the session's one timer, [`MemoryBudget`] bounds the bytes that all sessions keep together, and [`RoomLog`]
//! keeps one copy of each broadcast for many sessions.

#[doc(hidden)]
pub mod sync;

#[cfg(rejoin_model)]
#[doc(hidden)]
pub mod model;

#[cfg(rejoin_loom)]
#[doc(hidden)]
pub mod loom_atomic;
#[cfg(all(test, rejoin_loom))]
mod loom_tests;

mod shared_session;
pub use shared_session::{Accepted, Effects, Queued, SharedSession, Subscribed};

mod encoded_frame;
pub use encoded_frame::{EncodedFrame, Volatile};

mod room_log;
pub use room_log::{Appended, Encodings, Exclusion, RoomLog, Subscriber};

mod sequencer;
pub use sequencer::Sequencer;

mod error;
pub use error::{AskError, DeliveryError, SendError};

mod frame_sink;
pub use frame_sink::{FrameSink, FrameTarget};

mod asking;
pub use asking::{Answers, Ask};

mod memory_budget;
pub use memory_budget::MemoryBudget;

mod transport;
pub use transport::{Flow, ReceiveError, Received, Transport, Written};

mod websocket;
pub use websocket::{Masked, Masking, Unmasked, WsTransport};

mod optimistic_tcp;
pub use optimistic_tcp::{OptimisticTcp, limit_unsent};

mod linger;
pub use linger::{MAX_DISCARDED, finish};

mod socket_driver;
pub use socket_driver::{Detach, SocketDriver, WriteProgress};

mod token_bucket;
pub use token_bucket::{TokenBucket, UnitsPerSecond};

mod prefetch;
pub use prefetch::{PrefetchHint, prefetch};

mod deadline;
pub use deadline::{Deadline, now};

mod turn;
pub use turn::yield_now;
