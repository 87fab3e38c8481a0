//! The wire formats of rejoin (PROTOCOL.md §2): each is a [`Codec`], behind a feature of its own.
//!
//! | format | codec | feature | WebSocket message |
//! |---|---|---|---|
//! | JSON | `JsonCodec` | `json`, on by default | text |
//!
//! An application may bring a format of its own: it implements [`Codec`], and [`conformance::check`] in one of its tests
//! says whether that keeps what rejoin relies on.
//!
//! [`Codec`]: rejoin_core::Codec

#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
pub use json::JsonCodec;

pub mod conformance;
