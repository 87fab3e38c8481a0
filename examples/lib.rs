//! rejoin's examples as a library, so that both their programs and the tests can start them. The chat is the crate `rejoin-chat`.

pub mod auth;
pub mod axum_mount;
pub mod client;
pub mod drain;
pub mod metrics;
pub mod traces;
