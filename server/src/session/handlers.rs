//! [`Handler`]: the callbacks of an application; and [`Handlers`], which calls them.

mod closures;
pub(crate) use closures::{Closure, Closures, erase};

use std::future::{Future, ready};
use std::sync::Arc;

use rejoin_core::{CloseReason, DropReason, Event, Frame, Gap};

use crate::connection::Connection;
use crate::observe::metrics::CallbackKind;
use crate::session::call::{Call, Callback};

/// The callbacks of an application, as methods of one type that holds their state. [`Builder::handler`](crate::Builder::handler)
/// takes it.
///
/// Implement the methods that you need, each as an `async fn`; by default they do nothing. For one or two callbacks the closures of
/// [`Builder`](crate::Builder) are shorter. Both are called in the same way:
///
/// Callbacks of one connection run one after the other, in the [order](crate::Builder#callbacks) that the builder documents. Callbacks
/// of different connections run at the same time, on the same value, so shared state needs a lock or an atomic. While a callback
/// awaits, its connection continues to write, to acknowledge and to read ahead (64 frames, 1 MiB). A panic only ends that connection,
/// with 1011. Each call costs one allocation, for its future.
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
    /// A session has begun. It is a member of its home room already; its first message is handled after this has returned.
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

    /// Another socket is attached. Called before its first message; kept frames are sent before any that this callback sends.
    fn on_transport_restore(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The client reports frames that it will never deliver, because its buffer overflowed (PROTOCOL.md §3). Called in message order.
    fn on_gap(&self, connection: &Connection, gap: Gap) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The connection has become a member of a room: see [`Builder::on_join`](crate::Builder::on_join).
    fn on_join(&self, connection: &Connection, room: &str) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The connection has left a room: see [`Builder::on_leave`](crate::Builder::on_leave).
    fn on_leave(&self, connection: &Connection, room: &str) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The connection has no socket any more: see [`Builder::on_away`](crate::Builder::on_away).
    fn on_away(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// A connection that was away has a socket again: see [`Builder::on_back`](crate::Builder::on_back).
    fn on_back(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The session continues on another server: see [`Builder::on_moved`](crate::Builder::on_moved).
    fn on_moved(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The session has ended, and is about to leave its rooms: see
    /// [`Builder::before_disconnect`](crate::Builder::before_disconnect).
    fn before_disconnect(
        &self,
        connection: &Connection,
        reason: CloseReason,
    ) -> impl Future<Output = ()> + Send {
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

    fn on_join(&self, connection: &Connection, room: &str) -> impl Future<Output = ()> + Send {
        (**self).on_join(connection, room)
    }

    fn on_leave(&self, connection: &Connection, room: &str) -> impl Future<Output = ()> + Send {
        (**self).on_leave(connection, room)
    }

    fn on_away(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        (**self).on_away(connection)
    }

    fn on_back(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        (**self).on_back(connection)
    }

    fn on_moved(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        (**self).on_moved(connection)
    }

    fn before_disconnect(
        &self,
        connection: &Connection,
        reason: CloseReason,
    ) -> impl Future<Output = ()> + Send {
        (**self).before_disconnect(connection, reason)
    }

    fn on_disconnect(&self, connection: &Connection, reason: CloseReason) -> impl Future<Output = ()> + Send {
        (**self).on_disconnect(connection, reason)
    }
}

/// The dyn-compatible form of a [`Handler`], which servers store.
pub(crate) trait ErasedHandler: Send + Sync {
    /// Calls the method for this event. The future owns the handler and the connection.
    fn call(self: Arc<Self>, connection: Connection, call: Call) -> Option<Callback>;
}

/// The handlers of one connection, which replace the server's: a value that is kept with the connection.
pub(crate) struct OwnHandler(pub(crate) Arc<dyn ErasedHandler>);

impl<H: Handler> ErasedHandler for H {
    fn call(self: Arc<Self>, connection: Connection, call: Call) -> Option<Callback> {
        Some(match call {
            Call::Event(Event::Connected) => Box::pin(async move { H::on_connect(&self, &connection).await }),
            Call::Event(Event::Message(frame)) => {
                Box::pin(async move { H::on_message(&self, &connection, frame).await })
            }
            Call::Event(Event::Dropped(why)) => {
                Box::pin(async move { H::on_transport_drop(&self, &connection, why).await })
            }
            Call::Event(Event::Restored) => {
                Box::pin(async move { H::on_transport_restore(&self, &connection).await })
            }
            Call::Event(Event::Gap(gap)) => Box::pin(async move { H::on_gap(&self, &connection, gap).await }),
            Call::Event(Event::Closed(reason)) => {
                Box::pin(async move { H::on_disconnect(&self, &connection, reason).await })
            }
            Call::Joined(room) => Box::pin(async move { H::on_join(&self, &connection, &room).await }),
            Call::Left(room) => Box::pin(async move { H::on_leave(&self, &connection, &room).await }),
            Call::Away => Box::pin(async move { H::on_away(&self, &connection).await }),
            Call::Back => Box::pin(async move { H::on_back(&self, &connection).await }),
            Call::Moved => Box::pin(async move { H::on_moved(&self, &connection).await }),
            Call::BeforeDisconnect(reason) => {
                Box::pin(async move { H::before_disconnect(&self, &connection, reason).await })
            }
            // `Lost` occurs only at a client. Hooks are not methods of a handler.
            Call::Event(_) | Call::Claim | Call::SendDropped(..) | Call::Expired(_) => return None,
        })
    }
}

/// The callbacks of a server. Each is awaited before the next one of the same connection is called.
pub(crate) enum Handlers {
    Closures(Closures),
    Handler(Arc<dyn ErasedHandler>),
}

impl Handlers {
    /// Makes a call; `None` if the application has no such callback.
    pub(crate) fn call(&self, connection: &Connection, call: Call) -> Option<Callback> {
        match self {
            Self::Closures(closures) => closures.call(connection, call),
            Self::Handler(handler) => handler.clone().call(connection.clone(), call),
        }
    }

    /// Whether the application may have this callback.
    pub(crate) fn have(&self, kind: CallbackKind) -> bool {
        match self {
            Self::Closures(closures) => closures.have(kind),
            Self::Handler(_) => true,
        }
    }

    /// Whether a callback reports lost sockets to the application.
    pub(crate) fn tell_of_losses(&self) -> bool {
        [CallbackKind::TransportDrop, CallbackKind::Away].into_iter().any(|kind| self.have(kind))
    }

    /// Whether joins and leaves have to be reported.
    pub(crate) fn report_changes(&self) -> bool {
        match self {
            Self::Closures(closures) => closures.join.is_some() || closures.leave.is_some(),
            Self::Handler(_) => true,
        }
    }
}
