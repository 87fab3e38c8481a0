//! The callbacks of an application, with their types erased.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rejoin_core::{CloseReason, DropReason, Event, Frame, Gap};

use crate::connection::Connection;

pub(crate) type Callback = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler<A> = Option<Arc<dyn Fn(Connection, A) -> Callback + Send + Sync>>;

/// The callbacks that an application has registered. Each is awaited before the next one of the same connection is called.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) connect: Handler<()>,
    pub(crate) message: Handler<Frame>,
    pub(crate) transport_drop: Handler<DropReason>,
    pub(crate) transport_restore: Handler<()>,
    pub(crate) gap: Handler<Gap>,
    pub(crate) disconnect: Handler<CloseReason>,
}

/// Erases the type of a handler.
pub(crate) fn erase<A, F, Fut>(handler: F) -> Handler<A>
where
    F: Fn(Connection, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Some(Arc::new(move |connection, argument| Box::pin(handler(connection, argument))))
}

impl Handlers {
    /// Calls the handler for this event; `None` where the application has none.
    pub(crate) fn call(&self, connection: &Connection, event: Event) -> Option<Callback> {
        fn call<A>(handler: &Handler<A>, connection: &Connection, argument: A) -> Option<Callback> {
            handler.as_ref().map(|handler| handler(connection.clone(), argument))
        }
        match event {
            Event::Connected => call(&self.connect, connection, ()),
            Event::Message(frame) => call(&self.message, connection, frame),
            Event::Dropped(why) => call(&self.transport_drop, connection, why),
            Event::Restored => call(&self.transport_restore, connection, ()),
            Event::Gap(gap) => call(&self.gap, connection, gap),
            Event::Closed(reason) => call(&self.disconnect, connection, reason),
            // `Lost` occurs only at a client.
            _ => None,
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("connect", &self.connect.is_some())
            .field("message", &self.message.is_some())
            .field("transport_drop", &self.transport_drop.is_some())
            .field("transport_restore", &self.transport_restore.is_some())
            .field("gap", &self.gap.is_some())
            .field("disconnect", &self.disconnect.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_which_handlers_there_are() {
        let handlers = [
            ("connect", Handlers { connect: erase(|_, ()| async {}), ..Handlers::default() }),
            ("message", Handlers { message: erase(|_, _| async {}), ..Handlers::default() }),
            ("transport_drop", Handlers { transport_drop: erase(|_, _| async {}), ..Handlers::default() }),
            (
                "transport_restore",
                Handlers { transport_restore: erase(|_, ()| async {}), ..Handlers::default() },
            ),
            ("gap", Handlers { gap: erase(|_, _| async {}), ..Handlers::default() }),
            ("disconnect", Handlers { disconnect: erase(|_, _| async {}), ..Handlers::default() }),
        ];
        for (name, handlers) in handlers {
            let text = format!("{handlers:?}");
            assert!(text.contains(&format!(" {name}: true")), "{text}");
            assert_eq!((text.matches("true").count(), text.matches("false").count()), (1, 5), "{text}");
        }
    }
}
