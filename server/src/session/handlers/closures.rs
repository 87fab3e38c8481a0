//! [`Closures`]: the callbacks of an application that has no [`Handler`](super::Handler).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use rejoin_core::{CloseReason, DropReason, Event, Frame, Gap};

use crate::connection::Connection;
use crate::observe::metrics::CallbackKind;
use crate::session::call::{Call, Callback};

pub(crate) type Closure<A> = Option<Arc<dyn Fn(Connection, A) -> Callback + Send + Sync>>;

/// The closures that an application has registered: a handler without a type of its own. Unlike the methods of a
/// [`Handler`](super::Handler), those that are absent cost nothing.
#[derive(Clone, Default)]
pub(crate) struct Closures {
    pub(crate) connect: Closure<()>,
    pub(crate) message: Closure<Frame>,
    pub(crate) transport_drop: Closure<DropReason>,
    pub(crate) transport_restore: Closure<()>,
    pub(crate) gap: Closure<Gap>,
    pub(crate) join: Closure<String>,
    pub(crate) leave: Closure<String>,
    pub(crate) away: Closure<()>,
    pub(crate) back: Closure<()>,
    pub(crate) before_disconnect: Closure<CloseReason>,
    pub(crate) disconnect: Closure<CloseReason>,
    pub(crate) moved: Closure<()>,
}

/// Erases the type of a closure.
pub(crate) fn erase<A, F, Fut>(closure: F) -> Closure<A>
where
    F: Fn(Connection, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Some(Arc::new(move |connection, argument| Box::pin(closure(connection, argument))))
}

impl Closures {
    /// The names of the builder's methods that have set one.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let names = [
            ("on_connect", self.connect.is_some()),
            ("on_message", self.message.is_some()),
            ("on_transport_drop", self.transport_drop.is_some()),
            ("on_transport_restore", self.transport_restore.is_some()),
            ("on_gap", self.gap.is_some()),
            ("on_join", self.join.is_some()),
            ("on_leave", self.leave.is_some()),
            ("on_away", self.away.is_some()),
            ("on_back", self.back.is_some()),
            ("before_disconnect", self.before_disconnect.is_some()),
            ("on_disconnect", self.disconnect.is_some()),
            ("on_moved", self.moved.is_some()),
        ];
        names.into_iter().filter_map(|(name, is_set)| is_set.then_some(name))
    }

    /// Whether there is a closure of this kind.
    pub(super) fn have(&self, kind: CallbackKind) -> bool {
        match kind {
            CallbackKind::Connect => self.connect.is_some(),
            CallbackKind::TransportDrop => self.transport_drop.is_some(),
            CallbackKind::Away => self.away.is_some(),
            _ => true,
        }
    }

    /// Makes a call; `None` if the application has no closure for it.
    pub(super) fn call(&self, connection: &Connection, call: Call) -> Option<Callback> {
        fn run<A>(closure: &Closure<A>, connection: &Connection, argument: A) -> Option<Callback> {
            closure.as_ref().map(|closure| closure(connection.clone(), argument))
        }
        match call {
            Call::Event(Event::Connected) => run(&self.connect, connection, ()),
            Call::Event(Event::Message(frame)) => run(&self.message, connection, frame),
            Call::Event(Event::Dropped(why)) => run(&self.transport_drop, connection, why),
            Call::Event(Event::Restored) => run(&self.transport_restore, connection, ()),
            Call::Event(Event::Gap(gap)) => run(&self.gap, connection, gap),
            Call::Event(Event::Closed(reason)) => run(&self.disconnect, connection, reason),
            Call::Joined(room) => run(&self.join, connection, String::from(&*room)),
            Call::Left(room) => run(&self.leave, connection, String::from(&*room)),
            Call::Away => run(&self.away, connection, ()),
            Call::Back => run(&self.back, connection, ()),
            Call::BeforeDisconnect(reason) => run(&self.before_disconnect, connection, reason),
            Call::Moved => run(&self.moved, connection, ()),
            // `Lost` occurs only at a client. Hooks have closures of their own.
            Call::Event(_) | Call::Claim | Call::SendDropped(..) | Call::Expired(_) => None,
        }
    }
}

impl fmt::Debug for Closures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
