//! # Restarts
//!
//! Without a store, sessions end with their process. With one ([`Builder::store`]) they continue in the next process: members, users,
//! presence, histories of rooms, and the frames of both directions. Clients see a pause, even after `kill -9`.
//!
//! ```toml
//! [dependencies]
//! rejoin-server = "0.1"
//! rejoin-store-local = { version = "0.1", default-features = false } # a directory; the feature `inspect` is a program for operators
//! ```
//!
//! ```
//! use std::time::Duration;
//! use rejoin_server::{ConnectRequest, History, Identity, Reject, Server};
//! # use rejoin_store::MemoryStore as LocalStore;
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby").with_rewind(100)) }
//!
//! /// `store` is `LocalStore::open("data")?`: one process has a directory at a time.
//! async fn serve(store: LocalStore, stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder(connect)
//!         .history(History::new().frames(100).age(Duration::from_secs(86_400)))
//!         .on_message(|me, frame| async move { drop(me.broadcast(&frame)) })
//!         .store(store.clone())
//!         .build()?;
//!     server.listen("127.0.0.1:0").await?;
//!     stop.await; // SIGTERM
//!     server.shutdown(Duration::from_secs(5)).await; // leaves the sessions to the store
//!     // `store.close().await`: the next process can open the directory.
//!     Ok(())
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> { serve(LocalStore::new(), std::future::ready(())).await }
//! ```
//!
//! # What changes for handlers
//!
//! - **The acts of a handler take effect when it returns**, in one step with "this frame is handled". After a crash either all of them
//!   have happened, or none, and the handler runs again. A list that is taken after a `join` in the same handler lacks the newcomer: take
//!   [`Server::members`] in [`on_join`](Builder::on_join).
//! - **Effects elsewhere**, in a database or a payment service, may happen twice: [`Connection::input`] is a key for them.
//! - **Data of [`ConnectFn`] and values of [`Connection::set`]** end with the process. `ConnectFn` runs for the socket that resumes,
//!   and its data is attached; [`Connection::set_state`] keeps bytes with the session, and [presence](Connection::set_presence) a value
//!   for other clients. Your own maps are empty: fill them in [`on_transport_restore`](Builder::on_transport_restore), which is called
//!   for every session that returns.
//! - **Outside of handlers**, [`Server::committed`] waits until all acts are in the store.
//!
//! # Stopping
//!
//! [`Server::shutdown`] is enough: each client reconnects half a second later, or a little more if there are many. A
//! [drain](super::deployment) before it is only useful if another process accepts newcomers in the meantime. Close the store
//! afterwards, so that the next process can open the directory at once.
//!
//! The windows of sessions continue to run, by the clock of the store: a restart that takes longer than the [resume
//! window](Builder::resume_window) loses the sessions, and reports that to the clients.
//!
//! # While the store fails
//!
//! Newcomers and resumes get 503, [`Server::readyz`] answers 503, attached clients wait. `docs/store.md` in the repository has all the
//! rules, and their proofs.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
