//! [`Router`]: dispatches a server's messages to handlers by event, through layers.
//!
//! Handlers are async functions that take the arguments they need, in any order ([`FromContext`]), and may return an answer
//! ([`IntoReply`]), or a stream of answers ([`Streamed`]). [`Layer`]s wrap all handlers: they see every frame, and can change it, stop it, or add values that handlers
//! take. All errors go to one place, [`on_error`](RouterBuilder::on_error), and leave the connection open; a panic ends it with
//! 1011, unless [`CatchPanic`] is one of the layers. The frames of a connection are handled one after the other, as with
//! [`on_message`](crate::Builder::on_message).
//!
//! ```
//! use rejoin_server::router::{BoxError, Context, Decoded, Extension, Failure, Next, CatchPanic, Router};
//! use rejoin_server::{ConnectRequest, Connection, Frame, Identity, Reject, Server};
//!
//! async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//!     let user = request.query("user").ok_or_else(|| Reject::unauthorized("who are you?"))?;
//!     Ok(Identity::new().with_room("lobby").with_data(User(user)))
//! }
//!
//! #[derive(Clone)]
//! struct User(String);
//!
//! // A layer: runs around the handling of every frame.
//! async fn sign_in(mut context: Context, next: Next) -> Result<(), Failure> {
//!     let user = context.peer().data::<User>().ok_or("not signed in")?;
//!     context.insert(User::clone(&user));
//!     next.run(context).await
//! }
//!
//! // A handler without a reply.
//! async fn say(
//!     connection: Connection,
//!     Extension(User(user)): Extension<User>,
//!     Decoded(text): Decoded<String>,
//! ) -> Result<(), BoxError> {
//!     let line = Frame::new("chat.line", &format!("{user}: {text}"))?;
//!     connection.broadcast(&line)?;
//!     Ok(())
//! }
//!
//! // A handler with an answer.
//! async fn add(Decoded(numbers): Decoded<Vec<i64>>) -> Result<Frame, BoxError> {
//!     Ok(Frame::new("sum", &numbers.iter().sum::<i64>())?)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::builder()
//!     .layer(CatchPanic) // the outermost
//!     .layer(sign_in)
//!     .on("chat.say", say)
//!     .on("add", add)
//!     .fallback(|frame: Frame| async move { Frame::new("unknown", frame.event()) })
//!     .on_error(|connection, error| async move { eprintln!("{}: {error}", connection.id()) })
//!     .build()?;
//! let server = Server::builder(connect).router(router).build()?;
//! let listening = server.listen("127.0.0.1:0").await?;
//!
//! // A client, to complete the example.
//! let url = format!("ws://{}/?user=ada", listening.local_addr());
//! let mut client = rejoin_client::Client::builder(url).connect().await?;
//! let sum = client.ask(&Frame::new("add", &[1, 2, 3])?).await?;
//! assert_eq!((sum.event(), sum.decode::<i64>()?), ("sum", 6));
//! client.send(&Frame::new("chat.say", "hello")?)?;
//! let Some(rejoin_client::Event::Message(line)) = client.recv().await else { panic!("no line") };
//! assert_eq!(line.decode::<String>()?, "ada: hello");
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```

mod subscriptions;
pub use subscriptions::Subscriptions;

use std::any::{Any, type_name};
use std::ops::Deref;
use std::sync::Arc;

#[cfg(feature = "protobuf")]
pub use rejoin_core::router::Protobuf;
pub use rejoin_core::router::{
    BoxError, CatchPanic, Decoded, EventName, Extension, Failure, FrameId, FromContext, HandlerFn,
    IntoAnswer, IntoReply, Layer, Part, Peer, Reply, RouteError, RouterError, State, Streamed,
};
use rejoin_core::{Cancelled, Frame};

use crate::connection::Connection;
use crate::session::handlers::Handler;

/// A router for a server's connections; [`Builder::router`](crate::Builder::router) takes it.
pub type Router = rejoin_core::router::Router<Connection>;

/// Configures a [`Router`].
pub type RouterBuilder = rejoin_core::router::RouterBuilder<Connection>;

/// A frame and its connection, as the layers and the handler of a [`Router`] see them.
pub type Context = rejoin_core::router::Context<Connection>;

/// The remaining layers and the handler, from the point of view of one layer of a [`Router`].
pub type Next = rejoin_core::router::Next<Connection>;

/// Sends a reply with [`Connection::send_wait`], and fails with its [`SendError`](crate::SendError).
impl Peer for Connection {
    async fn reply(&self, frame: &Frame) -> Result<(), BoxError> {
        Ok(self.send_wait(frame).await?)
    }

    fn begin_answer(&self, id: &str) -> Cancelled {
        self.session().begin_answer(id)
    }

    fn end_answer(&self, cancelled: &Cancelled) {
        self.session().end_answer(cancelled);
    }
}

/// A router is a handler of messages alone, for [`Identity::with_handler`](crate::Identity::with_handler).
impl Handler for Router {
    async fn on_message(&self, connection: &Connection, frame: Frame) {
        self.handle(connection, frame).await;
    }
}

/// Extracts the connection's data of this type, which `ConnectFn` attached with
/// [`Identity::with_data`](crate::Identity::with_data). The data is shared, not cloned.
///
/// Fails with [`Failure::MissingData`] if the connection has no data, or data of another type.
///
/// ```
/// use rejoin_server::router::{BoxError, Data, Router, State};
/// use rejoin_server::{Connection, Frame};
///
/// struct User {
///     name: String,
/// }
///
/// #[derive(Clone)]
/// struct Motto(&'static str);
///
/// async fn greet(Data(user): Data<User>, State(Motto(motto)): State<Motto>) -> Result<Frame, BoxError> {
///     Ok(Frame::new("greeting", &format!("{motto}, {}", user.name))?)
/// }
///
/// let router = Router::builder().with_state(Motto("welcome")).on("greet", greet).build()?;
/// # let _ = router;
/// # Ok::<(), rejoin_server::router::RouterError>(())
/// ```
#[derive(Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "handlers destructure it")]
pub struct Data<T>(pub Arc<T>);

impl<T> Clone for Data<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Data<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Any + Send + Sync> FromContext<Connection> for Data<T> {
    async fn from_context(context: &Context) -> Result<Self, Failure> {
        context.peer().data().map(Self).ok_or(Failure::MissingData(type_name::<T>()))
    }
}
