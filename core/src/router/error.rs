//! [`RouteError`]: a frame that was not handled, and why.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::BoxError;
use crate::PayloadError;

/// A frame that was not handled, or whose reply was not sent: which, and why.
///
/// Its text may quote a piece of the payload.
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

    /// The frame's event, as the peer sent it.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The frame's id, as the peer sent it; empty when there is none.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What failed.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// What failed, to be taken apart.
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

/// What failed on a frame's way.
///
/// It is no [`Error`](std::error::Error) itself, so that `?` makes one of any error: in a layer and in an extractor of the
/// application's own that is [`Self::Payload`] for a [`PayloadError`], and [`Self::Refused`] for all others.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The event has no handler, and the router no fallback.
    NoHandler,
    /// The payload is none, or not what is asked for; the error says where.
    Payload(PayloadError),
    /// The handler takes an [`Extension`](super::Extension) of this type, and no layer has put one in.
    MissingExtension(&'static str),
    /// A layer, or an extractor of the application's own, says no.
    Refused(BoxError),
    /// The handler returned this error.
    Handler(BoxError),
    /// A layer or the handler panicked, and [`CatchPanic`](super::CatchPanic) caught it; with its text, if it had one.
    Panicked(Box<str>),
    /// The reply was not accepted by the connection.
    Reply(BoxError),
}

impl Failure {
    /// What a handler has returned. A payload that it decoded itself fails as one that was decoded for it.
    pub(super) fn of_handler(error: BoxError) -> Self {
        Self::of(error, Self::Handler)
    }

    fn of(error: BoxError, otherwise: fn(BoxError) -> Self) -> Self {
        error.downcast().map_or_else(otherwise, |error| Self::Payload(*error))
    }

    /// Whether something is not there, rather than wrong.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Payload(PayloadError::Missing) | Self::MissingExtension(_))
    }

    /// The error below, where there is one.
    pub fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Payload(error) => Some(error),
            Self::Refused(error) | Self::Handler(error) | Self::Reply(error) => Some(&**error),
            Self::NoHandler | Self::MissingExtension(_) | Self::Panicked(_) => None,
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
            Self::MissingExtension(name) => write!(f, "no layer has put in a {name}"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Handler(error) => write!(f, "handler failed: {error}"),
            Self::Panicked(text) if text.is_empty() => f.write_str("handler panicked"),
            Self::Panicked(text) => write!(f, "handler panicked: {text}"),
            Self::Reply(error) => write!(f, "reply was not sent: {error}"),
        }
    }
}

/// What a router stores of its `on_error`.
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
