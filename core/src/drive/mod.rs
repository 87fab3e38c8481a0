//! Joins a [`Session`](crate::Session) to a transport: the one async loop, the same for server and client.
//!
//! [`SharedSession`] holds a session where its application and its driver both reach it. [`SocketDriver`] is the driver of one attached
//! socket: what the [`Transport`] reads goes into the session, what the session has to say goes to the transport.
//! [`Deadline`] is the session's one timer, [`MemoryBudget`] what all sessions may keep together, [`RoomLog`] what is broadcast to many.

mod shared_session;
pub use shared_session::{Effects, Queued, SharedSession};

mod room_log;
pub use room_log::{Appended, Encodings, RoomLog};

mod error;
pub use error::{DeliveryError, SendError};

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

mod prefetch;
pub use prefetch::{PrefetchHint, prefetch};

mod deadline;
pub use deadline::{Deadline, now};

mod turn;
pub use turn::yield_now;
