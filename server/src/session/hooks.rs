//! [`Hooks`]: the application's hooks, in addition to its callbacks.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use rejoin_core::{Codec, Discarded, Frame, WhyDropped, ws};

use crate::connection::Connection;
use crate::error::JoinError;
use crate::observe::errors::ErrorKind;
use crate::session::call::{Call, Callback};
use crate::session::handlers::{Closure, erase};

/// The hooks of an application. Those that are absent cost nothing.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    before_join: Option<BeforeJoin>,
    send_dropped: Closure<(Option<Frame>, WhyDropped)>,
    expired: Closure<Vec<Frame>>,
    error: Option<ErrorHook>,
}

type BeforeJoin = Arc<dyn Fn(Connection, String) -> Permission + Send + Sync>;
type ErrorHook = Arc<dyn Fn(&ErrorKind) + Send + Sync>;

/// The decision whether a connection may join a room.
pub(crate) type Permission = Pin<Box<dyn Future<Output = Result<(), JoinError>> + Send>>;

impl Hooks {
    pub(crate) fn set_before_join<F, Fut>(&mut self, hook: F)
    where
        F: Fn(Connection, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JoinError>> + Send + 'static,
    {
        self.before_join = Some(Arc::new(move |connection, room| Box::pin(hook(connection, room))));
    }

    pub(crate) fn set_send_dropped<F, Fut>(&mut self, hook: F)
    where
        F: Fn(Connection, Option<Frame>, WhyDropped) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.send_dropped = erase(move |connection, (frame, why)| hook(connection, frame, why));
    }

    pub(crate) fn set_expired<F, Fut>(&mut self, hook: F)
    where
        F: Fn(Connection, Vec<Frame>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.expired = erase(hook);
    }

    pub(crate) fn set_error(&mut self, hook: impl Fn(&ErrorKind) + Send + Sync + 'static) {
        self.error = Some(Arc::new(hook));
    }

    pub(crate) fn reports_discarded(&self) -> bool {
        self.send_dropped.is_some()
    }

    pub(crate) fn want_errors(&self) -> bool {
        self.error.is_some()
    }

    pub(crate) fn keeps_expired(&self) -> bool {
        self.expired.is_some()
    }

    /// Asks whether a connection may join a room. Returns `None` if that needs no decision, because there is no hook, or it is a
    /// member.
    pub(crate) fn ask_to_join(
        &self,
        connection: &Connection,
        room: &str,
        is_member: impl FnOnce() -> bool,
    ) -> Option<Permission> {
        let hook = self.before_join.as_ref().filter(|_| !is_member())?;
        Some(hook(connection.clone(), room.to_owned()))
    }

    /// Makes a call that is not one of the callbacks.
    pub(crate) fn call(&self, connection: &Connection, call: Call) -> Option<Callback> {
        match call {
            Call::SendDropped(frame, why) => {
                self.send_dropped.as_ref().map(|hook| hook(connection.clone(), (frame, why)))
            }
            Call::Expired(frames) => self.expired.as_ref().map(|hook| hook(connection.clone(), frames)),
            _ => None,
        }
    }

    /// Reports an error. The caller holds no lock.
    pub(crate) fn report(&self, error: &ErrorKind) {
        let Some(hook) = &self.error else { return };
        // Reporting an error must not cause another one.
        if catch_unwind(AssertUnwindSafe(|| hook(error))).is_err() {
            tracing::error!("on_error panicked");
        }
    }

    /// The names of the hooks that are set.
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let names = [
            ("before_join", self.before_join.is_some()),
            ("on_send_dropped", self.send_dropped.is_some()),
            ("on_expired", self.expired.is_some()),
            ("on_error", self.error.is_some()),
        ];
        names.into_iter().filter_map(|(name, is_set)| is_set.then_some(name))
    }
}

/// The next discarded frame of a session, decoded.
pub(crate) fn next_dropped(connection: &Connection, codec: &dyn Codec) -> Option<Call> {
    let Discarded { message, why, .. } = connection.session().drive(|session| session.poll_discarded())?;
    // The session is unlocked again: a codec is foreign code.
    Some(Call::SendDropped(message.and_then(|message| codec.decode(ws::message_of(message)).ok()), why))
}

/// The unacknowledged frames of a session whose window has passed, decoded.
pub(crate) fn expired(connection: &Connection, codec: &dyn Codec) -> Call {
    let messages = connection.session().drive(|session| session.take_expired());
    // Our codec has encoded them. If it cannot decode one, there is no frame to report.
    let frames = messages.into_iter().filter_map(|message| codec.decode(ws::message_of(message)).ok());
    Call::Expired(frames.collect())
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
