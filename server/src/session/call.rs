//! [`Call`]: a callback of the application with its arguments.

use std::pin::Pin;
use std::sync::Arc;

use rejoin_core::{CloseReason, Event, Frame, WhyDropped};

use crate::observe::metrics::CallbackKind;

/// A running callback.
pub(crate) type Callback = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A callback to call, with its arguments.
#[derive(Debug)]
pub(crate) enum Call {
    /// An event of the session, other than the calls below.
    Event(Event),
    Joined(Arc<str>),
    Left(Arc<str>),
    Away,
    Back,
    BeforeDisconnect(CloseReason),
    /// No callback: the store has to record that the session's window has passed.
    Claim,
    /// Another server owns the session.
    Moved,
    /// A hook: an outgoing frame was dropped.
    SendDropped(Option<Frame>, WhyDropped),
    /// A hook: the session's window has passed, and these frames were not acknowledged.
    Expired(Vec<Frame>),
}

impl Call {
    /// The kind of callback.
    pub(crate) fn kind(&self) -> Option<CallbackKind> {
        Some(match self {
            Self::Event(Event::Connected) => CallbackKind::Connect,
            Self::Event(Event::Message(_)) => CallbackKind::Message,
            Self::Event(Event::Dropped(_)) => CallbackKind::TransportDrop,
            Self::Event(Event::Restored) => CallbackKind::TransportRestore,
            Self::Event(Event::Gap(_)) => CallbackKind::Gap,
            Self::Event(Event::Closed(_)) => CallbackKind::Disconnect,
            Self::Joined(_) => CallbackKind::Join,
            Self::Left(_) => CallbackKind::Leave,
            Self::Away => CallbackKind::Away,
            Self::Back => CallbackKind::Back,
            Self::BeforeDisconnect(_) => CallbackKind::BeforeDisconnect,
            Self::SendDropped(..) => CallbackKind::SendDropped,
            Self::Expired(_) => CallbackKind::Expired,
            Self::Moved => CallbackKind::Moved,
            // `Lost` occurs only at a client.
            Self::Event(_) | Self::Claim => return None,
        })
    }
}
