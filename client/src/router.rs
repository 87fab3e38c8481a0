//! [`Router`]: handlers by event, and layers around them, for the messages of a connection.
//!
//! Handlers are async functions that declare what they need as arguments, in any order ([`FromContext`]), and can return a reply
//! ([`IntoReply`]); a connection arrives as a [`Sender`]. [`Layer`]s wrap all handlers. Errors go to one function,
//! [`on_error`](RouterBuilder::on_error), and do not affect the connection. A panic reaches the loop that called
//! [`handle`](rejoin_core::router::Router::handle), unless [`CatchPanic`] is among the layers. In this loop the next message waits for the
//! handler; a program whose handlers take long spawns `handle`, for which a router and a [`Sender`] are cheap to clone.
//!
//! ```no_run
//! use rejoin_client::router::{Decoded, CatchPanic, Router};
//! use rejoin_client::{Client, Event, Frame, PayloadError, Sender};
//!
//! async fn line(Decoded(text): Decoded<String>) {
//!     println!("{text}");
//! }
//!
//! // Answers a question of the server.
//! async fn who_are_you(sender: Sender) -> Result<Frame, PayloadError> {
//!     Frame::new("i.am", &sender.id())
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::builder()
//!     .layer(CatchPanic)
//!     .on("chat.line", line)
//!     .on("who.are.you", who_are_you)
//!     .on_error(|_, error| async move { eprintln!("{error}") })
//!     .build()?;
//! let mut connection = Client::builder("wss://chat.example.com/ws").connect().await?;
//! let sender = connection.sender();
//! while let Some(event) = connection.recv().await {
//!     match event {
//!         Event::Message(frame) => router.handle(&sender, frame).await,
//!         Event::Closed(closed) => println!("over: {}", closed.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "protobuf")]
pub use rejoin_core::router::Protobuf;
pub use rejoin_core::router::{
    BoxError, CatchPanic, Decoded, EventName, Extension, Failure, FrameId, FromContext, HandlerFn,
    IntoAnswer, IntoReply, Layer, Peer, Reply, RouteError, RouterError, State, Streamed,
};
use rejoin_core::{Cancelled, Frame};

use crate::sender::Sender;

/// A router for the messages that a [`Connection`](crate::Connection) receives.
pub type Router = rejoin_core::router::Router<Sender>;

/// Configures a [`Router`].
pub type RouterBuilder = rejoin_core::router::RouterBuilder<Sender>;

/// A frame and its connection, as the layers and the handler of a [`Router`] see them.
pub type Context = rejoin_core::router::Context<Sender>;

/// The remaining layers and the handler, from the point of view of one layer of a [`Router`].
pub type Next = rejoin_core::router::Next<Sender>;

/// Sends a reply with [`Sender::send_wait`], and fails with its [`SendError`](crate::SendError).
impl Peer for Sender {
    async fn reply(&self, frame: &Frame) -> Result<(), BoxError> {
        Ok(self.send_wait(frame).await?)
    }

    fn begin_answer(&self, id: &str) -> Cancelled {
        self.shared().session.begin_answer(id)
    }

    fn end_answer(&self, cancelled: &Cancelled) {
        self.shared().session.end_answer(cancelled);
    }
}
