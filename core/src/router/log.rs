//! Logs errors if the application has no `on_error`. Never logs a payload, or a text that may quote one.

use std::fmt;

use super::{Failure, RouteError};
use crate::PayloadError;

pub(super) fn warn(error: &RouteError) {
    tracing::warn!(event = ?Short(error.event()), id = ?Short(error.id()), reason = %Discreet(error.failure()), "frame was not handled");
}

/// The beginning of a text from the peer, escaped. The text may be as long as a message.
struct Short<'a>(&'a str);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(64) {
            None => self.0.fmt(f),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

/// A failure without quoted payload: deserializers quote unexpected values, and the text of a panic may do the same. The panic
/// hook has already printed that text.
struct Discreet<'a>(&'a Failure);

impl fmt::Display for Discreet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Failure::Payload(error) => payload(error, f),
            Failure::Panicked(_) => f.write_str("handler panicked"),
            Failure::Refused(error) if quotes(&**error) => f.write_str("refused: unexpected payload"),
            Failure::Handler(error) if quotes(&**error) => f.write_str("handler failed: unexpected payload"),
            failure => failure.fmt(f),
        }
    }
}

fn payload(error: &PayloadError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        // Omit the path as well, because it contains keys of maps.
        PayloadError::Encode { format, .. } => write!(f, "payload cannot be represented in {format}"),
        PayloadError::Decode { format, .. } => write!(f, "unexpected {format} payload"),
        error => fmt::Display::fmt(error, f),
    }
}

/// Whether the text of this error may contain a deserializer's message.
fn quotes(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.any(|error| error.is::<PayloadError>() || error.is::<serde_json::Error>())
}
