//! Joins a [`Session`](crate::Session) to a transport: the one async loop, the same for server and client.
//!
//! [`Cell`] holds a session where its application and its driver both reach it. [`Link`] is the driver of one attached
//! socket: what the [`Transport`] reads goes into the session, what the session has to say goes to the transport.
//! [`Deadline`] is the session's one timer, [`Budget`] what all sessions may keep together, [`Feed`] what is broadcast to many.

mod cell;
pub use cell::{Cell, Effects, Queued};

mod feed;
pub use feed::{Fed, Feed, Images};

mod error;
pub use error::{ReceiptError, SendError};

mod budget;
pub use budget::Budget;

mod transport;
pub use transport::{Flow, ReceiveError, Received, Transport, Written};

mod websocket;
pub use websocket::{Masked, Masking, Unmasked, WsTransport};

mod eager;
pub use eager::{Eager, limit_unsent};

mod linger;
pub use linger::{MAX_DISCARDED, finish};

mod link;
pub use link::{Link, LinkEnd, Wrote};

mod prefetch;
pub use prefetch::{Spot, prefetch};

mod deadline;
pub use deadline::{Deadline, now};

mod turn;
pub use turn::yield_now;
