//! # Hooks
//!
//! The decisions that an application can make, and the events that it can observe, at each step:
//!
//! | step | before | after |
//! |---|---|---|
//! | a client connects | [`ConnectFn`], which may refuse | [`on_connect`](Builder::on_connect) |
//! | a connection joins a room | [`before_join`](Builder::before_join), which may refuse; for the rooms that it begins with, `ConnectFn` | [`on_join`](Builder::on_join) |
//! | it leaves a room | | [`on_leave`](Builder::on_leave) |
//! | a message is handled | a [layer](router::Layer), which may refuse | the same layer |
//! | a frame is sent | the caller | [`on_send_dropped`](Builder::on_send_dropped), if it was dropped; [`send_acked`](Connection::send_acked) |
//! | a socket is lost | | [`on_transport_drop`](Builder::on_transport_drop), [`on_away`](Builder::on_away) |
//! | it is replaced | `ConnectFn`, which may refuse | [`on_transport_restore`](Builder::on_transport_restore), [`on_back`](Builder::on_back) |
//! | the window passes | | [`on_expired`](Builder::on_expired), with the frames that never arrived |
//! | a session ends | [`before_disconnect`](Builder::before_disconnect) | [`on_disconnect`](Builder::on_disconnect) |
//! | something fails | | [`on_error`](Builder::on_error); for handlers of a router, its own [`on_error`](router::RouterBuilder::on_error) |
//!
//! Callbacks and hooks that concern one connection run one after the other, in [this order](Builder#callbacks), and hold no lock: they may use the
//! server, this connection, and others. Two are different: `before_join` runs in the task that joins, and `on_error` is called
//! where the error occurs, and is not async.
//!
//! # Before and after a message
//!
//! A [layer](router::Layer) wraps all handlers of a router. Code before [`Next::run`](router::Next::run) runs before the message is
//! handled: it may change the frame, attach values, or return an error instead of calling the handler. Code after it runs with the
//! handler's outcome:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//!
//! use rejoin_server::router::{Context, Failure, Next, Router, State};
//! use rejoin_server::{ConnectRequest, ErrorAnswer, Frame, Identity, Reject, Server};
//!
//! #[derive(Clone, Default)]
//! struct Audit { handled: Arc<AtomicU64>, failed: Arc<AtomicU64> }
//!
//! async fn audit(context: Context, next: Next) -> Result<(), Failure> {
//!     // Before: nobody without a user may send anything but "sign_in".
//!     if context.peer().user().is_none() && context.frame().event() != "sign_in" {
//!         return Err(ErrorAnswer::new("signed_out", "sign in first").into());
//!     }
//!     let audit = context.state::<Audit>().expect("the router has it").clone();
//!     let outcome = next.run(context).await;
//!     // After.
//!     let count = if outcome.is_ok() { &audit.handled } else { &audit.failed };
//!     count.fetch_add(1, Relaxed);
//!     outcome
//! }
//!
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let audits = Audit::default();
//! let router = Router::builder()
//!     .with_state(audits.clone())
//!     .layer(audit)
//!     .on("sign_in", |me: rejoin_server::Connection| async move {
//!         me.set_user(Some("ada"));
//!         Frame::event_only("welcome")
//!     })
//!     .on("count", |State(audit): State<Audit>| async move { Frame::new("count", &audit.handled.load(Relaxed)) })
//!     .build()?;
//! let server = Server::builder(connect).router(router).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let ada = rejoin_client::Client::builder(url).connect().await?;
//! # let refused = ada.ask(&Frame::event_only("count")).await.unwrap_err();
//! # assert!(refused.to_string().contains("sign in first"), "{refused}");
//! # ada.ask(&Frame::event_only("sign_in")).await?;
//! # assert_eq!(ada.ask(&Frame::event_only("count")).await?.decode::<u64>()?, 1);
//! # assert_eq!(audits.failed.load(Relaxed), 0, "the refused frame went no further");
//! # drop(ada);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Without a router, [`on_message`](Builder::on_message) is one function, which can do the same around its own code.
//!
//! # Frames that did not arrive
//!
//! A full buffer follows its [policy](super::limits), and in session mode the peer gets a report of the gap. To learn of it on
//! the server, set [`on_send_dropped`](Builder::on_send_dropped); to keep what a client that never came back has missed, set
//! [`on_expired`](Builder::on_expired):
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Frame, Identity, Reject, Server, WhyDropped};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # async fn store(user: &str, frames: Vec<Frame>) {}
//! # fn main() -> Result<(), rejoin_server::ConfigError> {
//! let server = Server::builder(connect)
//!     .on_send_dropped(|me, frame, why| async move {
//!         let event = frame.as_ref().map_or("?", |frame| frame.event());
//!         eprintln!("{} is slow: {event} was dropped ({why})", me.id());
//!     })
//!     .on_expired(|me, frames| async move {
//!         if let Some(user) = me.user() { store(&user, frames).await }
//!     })
//!     .build()?;
//! # let _ = server; Ok(())
//! # }
//! ```

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
