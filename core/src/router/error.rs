//! [`RouteError`]: a frame that could not be handled, and why.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::BoxError;
use crate::{ErrorAnswer, PayloadError};

/// A frame that could not be handled, or whose reply could not be sent, and the reason.
///
/// The error's text may quote a part of the payload.
#[derive(Debug)]
pub struct RouteError {
    event: Box<str>,
    id: Box<str>,
    failure: Failure,
}

impl RouteError {
    pub(super) fn new(event: Box<str>, id: Box<str>, failure: Failure) -> Self {
        Self { event, id, failure }
    }

    /// The event of the frame, as the peer sent it.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The id of the frame, as the peer sent it; empty if absent.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The reason.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Converts into the reason.
    pub fn into_failure(self) -> Failure {
        self.failure
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {:?}", self.event)?;
        if !self.id.is_empty() {
            write!(f, ", id {:?}", self.id)?;
        }
        write!(f, ": {}", self.failure)
    }
}

impl std::error::Error for RouteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure.source()
    }
}

/// Why a frame could not be handled.
///
/// This type does not implement [`Error`](std::error::Error), so that `?` can convert any error to it. In layers and in the
/// application's extractors, a [`PayloadError`] becomes [`Self::Payload`] and any other error [`Self::Refused`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The event has no handler, and the router has no fallback.
    NoHandler,
    /// The payload is missing or does not match the expected type; the error says where.
    Payload(PayloadError),
    /// The handler takes an [`Extension`](super::Extension) of this type, and no layer has inserted one.
    MissingExtension(&'static str),
    /// The handler takes a [`State`](super::State) of this type, and the router has none
    /// ([`RouterBuilder::with_state`](super::RouterBuilder::with_state)).
    MissingState(&'static str),
    /// The handler takes data of this type, and the connection has none: the server's `ConnectFn` attached none, or data of
    /// another type.
    MissingData(&'static str),
    /// A layer, or an extractor of the application, refused the frame.
    Refused(BoxError),
    /// The handler returned this error.
    Handler(BoxError),
    /// A layer or the handler panicked with this text (`None` if the panic had no text), and [`CatchPanic`](super::CatchPanic)
    /// caught it.
    Panicked(Option<Box<str>>),
    /// The connection did not accept the reply.
    Reply(BoxError),
}

impl Failure {
    /// An error that a handler returned. A payload error counts as if an extractor had failed.
    pub(super) fn of_handler(error: BoxError) -> Self {
        Self::of(error, Self::Handler)
    }

    fn of(error: BoxError, otherwise: fn(BoxError) -> Self) -> Self {
        error.downcast().map_or_else(otherwise, |error| Self::Payload(*error))
    }

    /// The error answer for the peer; `None` for an answer that could not be sent, which nothing replaces.
    //= PROTOCOL.md#R11.5: SHOULD answer… with the code `unknown_event`
    pub(super) fn to_answer(&self) -> Option<ErrorAnswer> {
        // The text of an error is the application's own, and may quote anything. Only an `ErrorAnswer` is meant for the peer.
        Some(match self {
            Self::NoHandler => ErrorAnswer::new("unknown_event", "no handler for this event"),
            Self::Payload(_) => ErrorAnswer::new("bad_request", "unexpected payload"),
            Self::Refused(error) => own(error).unwrap_or_else(|| ErrorAnswer::new("refused", "refused")),
            Self::Handler(error) => own(error).unwrap_or_else(internal),
            Self::MissingExtension(_) | Self::MissingState(_) | Self::MissingData(_) | Self::Panicked(_) => {
                internal()
            }
            Self::Reply(_) => return None,
        })
    }

    /// Whether an optional part is missing rather than invalid.
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Payload(PayloadError::Missing)
                | Self::MissingExtension(_)
                | Self::MissingState(_)
                | Self::MissingData(_)
        )
    }

    /// The underlying error, if any.
    pub fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Payload(error) => Some(error),
            Self::Refused(error) | Self::Handler(error) | Self::Reply(error) => Some(&**error),
            Self::NoHandler
            | Self::MissingExtension(_)
            | Self::MissingState(_)
            | Self::MissingData(_)
            | Self::Panicked(_) => None,
        }
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(error.into(), Self::Refused)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHandler => f.write_str("no handler, and no fallback"),
            Self::Payload(error) => error.fmt(f),
            Self::MissingExtension(name) => write!(f, "no layer has inserted a value of type {name}"),
            Self::MissingState(name) => {
                write!(f, "the router has no state of type {name} (see `RouterBuilder::with_state`)")
            }
            Self::MissingData(name) => write!(f, "the connection has no data of type {name}"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Handler(error) => write!(f, "handler failed: {error}"),
            Self::Panicked(None) => f.write_str("handler panicked"),
            Self::Panicked(Some(text)) => write!(f, "handler panicked: {text}"),
            Self::Reply(error) => write!(f, "reply was not sent: {error}"),
        }
    }
}

/// The error that the application has chosen for the peer.
fn own(error: &BoxError) -> Option<ErrorAnswer> {
    error.downcast_ref().cloned()
}

fn internal() -> ErrorAnswer {
    ErrorAnswer::new("internal", "internal error")
}

/// The dyn-compatible form of `on_error`, which routers store.
pub(super) trait DynOnError<C>: Send + Sync {
    fn call(&self, peer: C, error: RouteError) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

struct OnError<F>(F);

impl<C, F, Fut> DynOnError<C> for OnError<F>
where
    F: Fn(C, RouteError) -> Fut + Send + Sync,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn call(&self, peer: C, error: RouteError) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin((self.0)(peer, error))
    }
}

pub(super) fn erase<C, F, Fut>(handler: F) -> Box<dyn DynOnError<C>>
where
    F: Fn(C, RouteError) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Box::new(OnError(handler))
}
