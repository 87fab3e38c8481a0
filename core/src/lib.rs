//! The rules of rejoin.

mod message;
pub use message::{Message, MessageKind};

mod close;
pub use close::CloseFrame;

pub mod ws;
