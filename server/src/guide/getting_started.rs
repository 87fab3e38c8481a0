//! # Getting started
//!
//! ```toml
//! [dependencies]
//! rejoin-server = "0.1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "signal"] }
//! ```
//!
//! A server needs one function, which decides who a client is and which room it joins. Everything else has a default.
//!
//! ```no_run
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! async fn connect(_request: ConnectRequest) -> Result<Identity, Reject> {
//!     Ok(Identity::new().with_room("lobby"))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder(connect)
//!         .on_message(|connection, frame| async move {
//!             connection.broadcast(&frame).ok();
//!         })
//!         .build()?;
//!     let listening = server.listen("127.0.0.1:9000").await?;
//!     println!("listening on {}", listening.local_addr());
//!     listening.closed().await;
//!     Ok(())
//! }
//! ```
//!
//! Three types are enough to start with. [`Server`] is the handle to the server; clone it wherever you need to send.
//! [`Connection`] is one session: it stays the same while its sockets come and go. [`Frame`] is the unit that is sent and
//! received: an event name, a payload, and an id that you choose, all of them optional.
//!
//! # Clients
//!
//! The crate `rejoin-client` is the client for Rust. The npm package `rejoin` is the one for browsers and StoreNode; with the feature
//! `script` the server sends it to pages as one file ([`Builder::script_path`], [`Server::script`]). A plain `WebSocket` works, too,
//! with [fewer guarantees](crate#two-modes): it sends and receives `{"event":"chat","payload":"hello"}`. Pages whose origin is not
//! the server's own must be [allowed](Builder::allow_origin).
//!
//! # With axum
//!
//! In an axum app, mount [`Server::service`] instead of calling [`Server::listen`]. State, middleware and other routes work as
//! usual:
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect).build()?;
//! let app: axum::Router = axum::Router::new()
//!     .route("/health", axum::routing::get(|| async { "fine" }))
//!     .route_service("/ws", server.service());
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/ws", listener.local_addr()?);
//! # tokio::spawn(async move { axum::serve(listener, app).await });
//! # let client = rejoin_client::Client::builder(url).connect().await?;
//! # assert_eq!(client.room().as_deref(), Some("lobby"));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Or decide in a handler, with the app's own extractors and its own errors: [`Upgrade`] is an extractor, and takes the place of
//! [`ConnectFn`].
//!
//! ```
//! use axum::extract::FromRequestParts;
//! use axum::http::{StatusCode, request::Parts};
//! use axum::response::Response;
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server, Upgrade};
//!
//! struct User { name: String }
//!
//! impl<S: Sync> FromRequestParts<S> for User {
//!     type Rejection = StatusCode;
//!
//!     async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
//!         // … your session cookie, your token
//! #       let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
//! #       if token == Some("Bearer secret-of-ada") { Ok(Self { name: "ada".into() }) } else { Err(StatusCode::UNAUTHORIZED) }
//!     }
//! }
//!
//! async fn ws(user: User, upgrade: Upgrade) -> Response {
//!     upgrade.accept(Identity::new().with_room("lobby").with_id(user.name)).await
//! }
//!
//! // Decides on requests that no handler decides on. This app has none.
//! async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
//!     Err(Reject::forbidden("connect at /ws"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect).build()?;
//! let app = axum::Router::new().route("/ws", axum::routing::any(ws)).with_state(server.clone());
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("ws://{}/ws", listener.local_addr()?);
//! # tokio::spawn(async move { axum::serve(listener, app).await });
//! # use rejoin_client::{Client, ConnectError};
//! # let ada = Client::builder(&url).header("authorization", "Bearer secret-of-ada").connect().await?;
//! # assert_eq!((ada.id().as_deref(), ada.room().as_deref()), (Some("ada"), Some("lobby")));
//! # let refused = Client::builder(&url).connect().await;
//! # assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.status == 401));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The feature `axum`, which is on by default, unwraps the upgraded socket from the types of `axum::serve`: each read and write
//! passes through two layers less, and the socket gets `TCP_NODELAY`. Without the feature, h2 is not compiled, and the mounted
//! service works all the same.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
