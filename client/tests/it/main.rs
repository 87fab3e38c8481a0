//! The client against scripted servers: over pairs in memory with a paused clock, so that every schedule is exact.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod answers;
mod close;
mod connect;
mod dials;
mod ends;
mod last_word;
#[cfg(not(feature = "rustls-tls-manual-roots"))]
mod no_tls;
mod options;
mod plain;
mod reconnect;
mod refused;
mod resume;
mod saved;
mod streams;
mod support;
#[cfg(feature = "rustls-tls-manual-roots")]
mod tls;
#[cfg(feature = "rustls-tls-native-roots")]
mod tls_native_roots;
