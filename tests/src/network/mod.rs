//! The network between clients and a server, broken on purpose. Whatever cuts, delays, stalls or refuses in a test is here.
//!
//! A [`Line`] leads from one client to a server, and has all the faults. A [`Medium`] decides what carries it: memory with paused
//! time, or TCP on the loopback interface. The bytes of both pass through the same `Wire`; over TCP a relay at each of its ends
//! copies them from and to a socket, and passes on how a connection ends: a FIN as a FIN, a RST as a RST.
//!
//! `rejoin-loadtest` cuts its sockets by itself, because a line between them would affect its measurements.

mod medium;
pub use medium::Medium;

mod line;
pub use line::{Dials, Direction, Line, Target};

mod relay;

mod wire;
pub use wire::Condition;
