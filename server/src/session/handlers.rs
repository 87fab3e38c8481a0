//! [`Handler`]: the callbacks of an application; and [`Handlers`], which calls them.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use rejoin_core::{CloseReason, DropReason, Event, Frame, Gap};

use crate::connection::Connection;

/// The callbacks of an application, as methods of one type that holds their state. [`Builder::handler`](crate::Builder::handler)
/// takes it.
///
/// Implement the methods that you need, each as an `async fn`; by default they do nothing. For one or two callbacks the closures
/// of [`Builder`](crate::Builder) are shorter. Both are called alike:
///
/// Those of one connection run one after the other, in this order: `on_connect`, `on_message`…, (`on_transport_drop`,
/// `on_transport_restore`, `on_message`…)…, `on_disconnect`. Those of different connections run at the same time, on the same
/// value, so shared state needs a lock or an atomic. While a callback awaits, its connection continues to write, to acknowledge
/// and to read ahead (64 frames, 1 MiB). A panic ends that connection with 1011, and nothing else. Each call costs one
/// allocation, for its future.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// use rejoin_server::{Connection, ConnectRequest, Frame, Handler, Identity, Reject, Server};
///
/// #[derive(Default)]
/// struct Chat {
///     lines: AtomicU64,
/// }
///
/// impl Handler for Chat {
///     async fn on_connect(&self, connection: &Connection) {
///         let welcome = Frame::new("lines", &self.lines.load(Relaxed)).expect("a number can be represented in JSON");
///         connection.send(&welcome).ok(); // the buffer of a new session is empty
///     }
///
///     async fn on_message(&self, connection: &Connection, frame: Frame) {
///         self.lines.fetch_add(1, Relaxed);
///         connection.broadcast(&frame).ok();
///     }
/// }
///
/// # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
/// # fn main() -> Result<(), rejoin_server::ConfigError> {
/// let server = Server::builder(connect).handler(Chat::default()).build()?;
/// # let _ = server; Ok(())
/// # }
/// ```
///
/// An `Arc` of a handler is a handler, for a program that keeps a handle to its state.
#[allow(unused_variables, reason = "the defaults do nothing")]
pub trait Handler: Send + Sync + 'static {
    /// A session has begun. It is a member of its room already; its first message comes after this has returned.
    fn on_connect(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// A message has arrived. The next one of the same connection is handled when this has returned. Default: messages are
    /// discarded.
    fn on_message(&self, connection: &Connection, frame: Frame) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The socket is lost, and the session waits for another; frames that are sent to it are kept. Called only with a
    /// [resume window](crate::Builder::resume_window).
    fn on_transport_drop(
        &self,
        connection: &Connection,
        reason: DropReason,
    ) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Another socket is attached. Called before its first message; frames that were kept leave before any that is sent here.
    fn on_transport_restore(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The client reports frames that it will never deliver, because its buffer overflowed (PROTOCOL.md §3). Called in their
    /// place among the messages.
    fn on_gap(&self, connection: &Connection, gap: Gap) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The session has ended. Called once, as the last callback, after the last message has been handled; the connection ID is
    /// free already.
    fn on_disconnect(&self, connection: &Connection, reason: CloseReason) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

impl<H: Handler> Handler for Arc<H> {
    fn on_connect(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        (**self).on_connect(connection)
    }

    fn on_message(&self, connection: &Connection, frame: Frame) -> impl Future<Output = ()> + Send {
        (**self).on_message(connection, frame)
    }

    fn on_transport_drop(
        &self,
        connection: &Connection,
        reason: DropReason,
    ) -> impl Future<Output = ()> + Send {
        (**self).on_transport_drop(connection, reason)
    }

    fn on_transport_restore(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        (**self).on_transport_restore(connection)
    }

    fn on_gap(&self, connection: &Connection, gap: Gap) -> impl Future<Output = ()> + Send {
        (**self).on_gap(connection, gap)
    }

    fn on_disconnect(&self, connection: &Connection, reason: CloseReason) -> impl Future<Output = ()> + Send {
        (**self).on_disconnect(connection, reason)
    }
}

pub(crate) type Callback = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The dyn-compatible form of a [`Handler`], which servers store.
pub(crate) trait DynHandler: Send + Sync {
    /// Calls the method for this event. The future owns the handler and the connection.
    fn call(self: Arc<Self>, connection: Connection, event: Event) -> Option<Callback>;
}

impl<H: Handler> DynHandler for H {
    fn call(self: Arc<Self>, connection: Connection, event: Event) -> Option<Callback> {
        Some(match event {
            Event::Connected => Box::pin(async move { H::on_connect(&self, &connection).await }),
            Event::Message(frame) => Box::pin(async move { H::on_message(&self, &connection, frame).await }),
            Event::Dropped(why) => {
                Box::pin(async move { H::on_transport_drop(&self, &connection, why).await })
            }
            Event::Restored => Box::pin(async move { H::on_transport_restore(&self, &connection).await }),
            Event::Gap(gap) => Box::pin(async move { H::on_gap(&self, &connection, gap).await }),
            Event::Closed(reason) => {
                Box::pin(async move { H::on_disconnect(&self, &connection, reason).await })
            }
            // `Lost` occurs only at a client.
            _ => return None,
        })
    }
}

type Closure<A> = Option<Arc<dyn Fn(Connection, A) -> Callback + Send + Sync>>;

/// The closures that an application has registered: a handler without a type of its own. Unlike the methods of a [`Handler`],
/// those that are absent cost nothing.
#[derive(Clone, Default)]
pub(crate) struct Closures {
    pub(crate) connect: Closure<()>,
    pub(crate) message: Closure<Frame>,
    pub(crate) transport_drop: Closure<DropReason>,
    pub(crate) transport_restore: Closure<()>,
    pub(crate) gap: Closure<Gap>,
    pub(crate) disconnect: Closure<CloseReason>,
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
            ("on_disconnect", self.disconnect.is_some()),
        ];
        names.into_iter().filter_map(|(name, is_set)| is_set.then_some(name))
    }

    /// Calls the closure for this event; `None` if the application has none.
    fn call(&self, connection: &Connection, event: Event) -> Option<Callback> {
        fn call<A>(closure: &Closure<A>, connection: &Connection, argument: A) -> Option<Callback> {
            closure.as_ref().map(|closure| closure(connection.clone(), argument))
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

/// The callbacks of a server. Each is awaited before the next one of the same connection is called.
pub(crate) enum Handlers {
    Closures(Closures),
    Handler(Arc<dyn DynHandler>),
}

impl Handlers {
    /// Calls the callback for this event; `None` if the application has none.
    pub(crate) fn call(&self, connection: &Connection, event: Event) -> Option<Callback> {
        match self {
            Self::Closures(closures) => closures.call(connection, event),
            Self::Handler(handler) => handler.clone().call(connection.clone(), event),
        }
    }
}

impl fmt::Debug for Closures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
