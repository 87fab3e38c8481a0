//! [`Reconnect`]: a client's reaction to the loss of its socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::serial;

/// How a client continues after its socket is lost (PROTOCOL.md §7, column 'the client').
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "the table has these outcomes")]
pub enum Reconnect {
    /// Do not reconnect.
    Never,
    /// Reconnect with backoff.
    Backoff,
    /// Reconnect after this time, with jitter.
    #[serde(rename = "after_ns")]
    After(#[serde(with = "serial::nanos")] Duration),
}
