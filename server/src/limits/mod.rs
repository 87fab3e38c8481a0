//! The limits of a server: what a client may take of it, beside the bounds of buffers and times.
//!
//! [`options`] are what the application sets, and [`limit`] names each. [`places`] counts the sessions of the server and of each
//! [address](addresses).

pub(crate) mod limit;
pub use limit::Limit;

pub(crate) mod options;

pub(crate) mod places;

mod addresses;
