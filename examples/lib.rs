//! The examples of rejoin, as a library: each can be started by its own program, and by a test. The chat is the crate `rejoin-chat`.

pub mod auth;
pub mod axum_mount;
pub mod client;
pub mod metrics;
