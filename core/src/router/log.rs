//! What is logged of an error where the application does not ask for it: never the payload, nor a text that may quote it.

use std::fmt;

use super::{Failure, RouteError};
use crate::PayloadError;

pub(super) fn warn(error: &RouteError) {
    tracing::warn!(event = ?Short(error.event()), id = ?Short(error.id()), reason = %Discreet(error.failure()), "frame was not handled");
}

/// The beginning of a peer's text, escaped: it may be as long as a message.
struct Short<'a>(&'a str);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(64) {
            None => self.0.fmt(f),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

/// A failure without what was said: deserializers quote the value that they did not expect, and a panic's text may too. That
/// one the panic hook has told already.
struct Discreet<'a>(&'a Failure);

impl fmt::Display for Discreet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Failure::Payload(error) => payload(error, f),
            Failure::Panicked(_) => f.write_str("handler panicked"),
            Failure::Refused(error) if quotes(&**error) => f.write_str("refused: payload is not as expected"),
            Failure::Handler(error) if quotes(&**error) => {
                f.write_str("handler failed: payload is not as expected")
            }
            failure => failure.fmt(f),
        }
    }
}

fn payload(error: &PayloadError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        // Not the path either: the keys of a map are in it.
        PayloadError::Encode { format, .. } => write!(f, "payload cannot be represented in {format}"),
        PayloadError::Decode { format, .. } => write!(f, "payload is not as expected, in {format}"),
        error => fmt::Display::fmt(error, f),
    }
}

/// Whether the text of this error may contain that of a deserializer.
fn quotes(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| error.source());
    chain.any(|error| error.is::<PayloadError>() || error.is::<serde_json::Error>())
}
