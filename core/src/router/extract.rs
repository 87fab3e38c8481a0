//! [`FromContext`]: parameters of handlers.

use std::any::{Any, type_name};
use std::future::Future;

use serde::de::DeserializeOwned;

use super::{Context, Failure, Peer};
use crate::{Cancelled, Frame};

/// A parameter of a handler, extracted from a frame and its connection.
///
/// | parameter | value | fails |
/// |---|---|---|
/// | the connection itself | a clone of the handle | never |
/// | [`Frame`] | a copy of id and event; the payload is shared | never |
/// | [`Decoded<T>`] | the payload as any serde type | if it is missing or does not match |
/// | `Protobuf<M>`, with its feature | the payload as a prost message | if it is missing or not such a message |
/// | [`EventName`], [`FrameId`] | the frame's event or id; empty if absent | never |
/// | [`Extension<T>`] | a clone of a value that a layer has inserted | if no layer has |
/// | [`State<T>`] | a clone of the router's shared state of this type | if the router has none |
/// | `Data<T>`, on the server | the connection's data | if it has none of this type |
/// | `Option<one of these>` | `None` if the payload, extension, state or data is missing | as the inner type, if it is invalid |
/// | `Result<one of these, Failure>` | for handlers that handle the failure themselves | never |
///
/// Applications can implement their own:
///
/// ```
/// # use rejoin_core::router::{Context, Failure, FromContext, Peer};
/// /// The part of the event before the first dot.
/// struct Namespace(String);
///
/// impl<C: Peer> FromContext<C> for Namespace {
///     async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
///         let (namespace, _) = context.frame().event().split_once('.').ok_or("event has no namespace")?;
///         Ok(Self(namespace.into()))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot take a `{Self}`",
    note = "handlers take the connection, `Frame`, `Decoded<T>`, `Extension<T>`, `State<T>`, `EventName`, `FrameId`, or any other type that implements `FromContext`"
)]
pub trait FromContext<C: Peer>: Sized + Send {
    /// Extracts the value from the context.
    ///
    /// # Errors
    /// Fails if the value is missing or invalid; the handler is then not called.
    fn from_context(context: &Context<C>) -> impl Future<Output = Result<Self, Failure>> + Send;
}

impl<C: Peer> FromContext<C> for C {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(context.peer().clone())
    }
}

impl<C: Peer> FromContext<C> for Frame {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(context.frame().clone())
    }
}

/// The payload, deserialized from any format ([`Frame::decode`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct Decoded<T>(pub T);

impl<C: Peer, T: DeserializeOwned + Send> FromContext<C> for Decoded<T> {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(Self(context.frame().decode().map_err(Failure::Payload)?))
    }
}

/// The payload, decoded as a prost message ([`Frame::decode_protobuf`]).
#[cfg(feature = "prost")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct Protobuf<M>(pub M);

#[cfg(feature = "prost")]
impl<C: Peer, M: prost::Message + Default> FromContext<C> for Protobuf<M> {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(Self(context.frame().decode_protobuf().map_err(Failure::Payload)?))
    }
}

/// The frame's event; empty if absent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct EventName(pub Box<str>);

impl<C: Peer> FromContext<C> for EventName {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(Self(context.frame().event().into()))
    }
}

/// The frame's id; empty if absent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct FrameId(pub Box<str>);

impl<C: Peer> FromContext<C> for FrameId {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(Self(context.frame().id().into()))
    }
}

/// Whether the peer has cancelled the question. For a frame without an id, which is no question, it never is.
impl<C: Peer> FromContext<C> for Cancelled {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(context.cancellation().cloned().unwrap_or_default())
    }
}

/// A clone of a value that a layer has inserted ([`Context::insert`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct Extension<T>(pub T);

impl<C: Peer, T: Any + Clone + Send + Sync> FromContext<C> for Extension<T> {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        match context.get::<T>() {
            Some(value) => Ok(Self(value.clone())),
            None => Err(Failure::MissingExtension(type_name::<T>())),
        }
    }
}

/// A clone of the router's shared state of this type ([`RouterBuilder::with_state`](super::RouterBuilder::with_state)).
///
/// A router without such a state refuses the frame with [`Failure::MissingState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct State<T>(pub T);

impl<C: Peer, T: Any + Clone + Send + Sync> FromContext<C> for State<T> {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        match context.state::<T>() {
            Some(state) => Ok(Self(state.clone())),
            None => Err(Failure::MissingState(type_name::<T>())),
        }
    }
}

/// `None` if the payload, extension, state or data is missing. Invalid values still fail.
impl<C: Peer, T: FromContext<C>> FromContext<C> for Option<T> {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        match T::from_context(context).await {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// For handlers that handle the failure themselves.
impl<C: Peer, T: FromContext<C>> FromContext<C> for Result<T, Failure> {
    async fn from_context(context: &Context<C>) -> Result<Self, Failure> {
        Ok(T::from_context(context).await)
    }
}
