//! The examples of rejoin, as a library: each can be started by its own program, and by a test.

pub mod auth;
pub mod axum_mount;
pub mod chat;
pub mod client;
pub mod metrics;
