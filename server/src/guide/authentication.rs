//! # Authentication
//!
//! [`ConnectFn`] sees the HTTP request before it is answered: path, query, headers, cookies, and values that middleware has
//! attached. It returns an [`Identity`], or a [`Reject`] with a status and a text for the client. For an error of any other type,
//! choose the status with [`OrReject`]: `.or_unauthorized()?` (401, the credentials are wrong), `.or_forbidden()?` (403), or
//! `.or_unavailable()?` (503, for example because a database is down). The client gets a neutral text, and the error goes to the
//! log.
//!
//! ```
//! use std::sync::Arc;
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! struct Accounts; // your database, a key to verify signatures, …
//! struct Account { name: String, rooms: Vec<String> }
//!
//! impl Accounts {
//!     async fn by_token(&self, token: &str) -> Option<Account> {
//!         // …
//! #       (token == "secret-of-ada").then(|| Account { name: "ada".into(), rooms: vec!["lobby".into()] })
//!     }
//! }
//!
//! async fn connect(
//!     accounts: Arc<Accounts>,
//!     request: ConnectRequest,
//! ) -> Result<Identity, Reject> {
//!     let header = request.header("authorization");
//!     let token = header.and_then(|value| value.strip_prefix("Bearer "));
//!     let token = token.ok_or_else(|| Reject::unauthorized("send a token"))?;
//!     let account = accounts.by_token(token).await;
//!     let account = account.ok_or_else(|| Reject::unauthorized("the token is invalid"))?;
//!     let room = request.query("room").unwrap_or_else(|| "lobby".into());
//!     if !account.rooms.contains(&room) {
//!         return Err(Reject::forbidden(format!("{} may not enter {room}", account.name)));
//!     }
//!     // The ID comes from the account; handlers get the rest from `Connection::data`.
//!     Ok(Identity::new().with_room(room).with_id(account.name.clone()).with_data(account))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = Arc::new(Accounts);
//! let server = Server::builder(move |request| connect(accounts.clone(), request))
//!     .on_connect(|connection| async move {
//!         let account: Arc<Account> = connection.data().expect("connect attaches it");
//!         println!("{} is in {:?}", account.name, connection.room());
//!     })
//!     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # use rejoin_client::{Client, ConnectError};
//! # let ada = Client::builder(&url).header("authorization", "Bearer secret-of-ada").connect().await?;
//! # assert_eq!(ada.id().as_deref(), Some("ada"));
//! # for (query, header, status) in [("", "Bearer x", 401), ("?room=office", "Bearer secret-of-ada", 403)] {
//! #     let result = Client::builder(format!("{url}{query}")).header("authorization", header).connect().await;
//! #     let Err(ConnectError::Refused(refusal)) = result else { panic!("{result:?}") };
//! #     assert_eq!(refusal.status, status);
//! # }
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Keep in mind:
//!
//! - **It runs for every socket**, including those that resume a session: the session's token alone is not enough. A client whose
//!   login has expired in the meantime is rejected, and its session ends with the resume window. Let logins live longer than the
//!   absences that you want to tolerate.
//! - **Credentials may end during a connection.** [`Identity::expires_at`] closes the socket then with 3000, and the session waits
//!   for a socket with fresh ones: the client dials again and resumes, and nobody notices. [`Server::reauthenticate`] has a user's
//!   clients do so at once, for example after a change of the password. [`Server::forbid`] ends a session whose client may not
//!   stay.
//! - **A client that may claim a connection ID can end the session that has it.** Derive the ID from data that you have
//!   authenticated, or leave it out to get a random one. A user with several devices needs several IDs, for example the user's
//!   name plus the device.
//! - **Browsers cannot set headers.** Their `WebSocket` sends the cookies of the server's origin with every request. That is why
//!   pages of other origins are refused unless you [allow](Builder::allow_origin) them. A token in the query ends up in access
//!   logs. rejoin's clients send one as a subprotocol instead, which [`ConnectRequest::token`] returns: in the npm package by the
//!   option `token`, in Rust by `ClientBuilder::token`.
//! - **It must return within the [handshake timeout](Builder::handshake_timeout)**, 10 s. Otherwise the client gets a 503. A
//!   panic is answered with 500.
//! - **Data that refers to its own connection** must hold a [`WeakConnection`], otherwise neither is ever dropped: see
//!   [`Identity::with_data`](crate::Identity::with_data).
//!
//! # Ready-made parts
//!
//! [`auth`] has parts for the usual credentials, each with its challenge in `WWW-Authenticate`: bearer tokens, names with
//! passwords, API keys, and JSON Web Tokens (feature `jwt`). Secrets are compared in constant time. [`Auth`](crate::auth::Auth) is
//! a [`ConnectFn`]:
//!
//! ```
//! use rejoin_server::auth::{Auth, Bearer};
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! async fn verify(token: String) -> Result<Identity, Reject> {
//!     // …
//! #   if token == "secret-of-ada" { Ok(Identity::new().with_user("ada")) } else { Err(Reject::unauthorized("wrong")) }
//! }
//!
//! async fn enter(request: ConnectRequest, identity: Identity) -> Result<Identity, Reject> {
//!     let room = request.query("room").ok_or_else(|| Reject::bad_request("which room?"))?;
//!     Ok(identity.with_room(room))
//! }
//!
//! let auth = Auth::new().scheme(Bearer::new(verify)).then(enter);
//! let server = Server::builder(auth).build()?;
//! # let _ = server; Ok::<(), rejoin_server::ConfigError>(())
//! ```
//!
//! # Data of a connection
//!
//! [`Connection::data`] returns what the identity has brought; a resumed session keeps its first data unless the identity brings
//! [fresh data](Identity::with_fresh_data). [`Connection::set`] and [`get`](Connection::get) keep further values, one of each type,
//! and [`Identity::with_handler`] gives a connection handlers of its own, for a server with several paths.
//!
//! The example `auth` in the repository authenticates with signed tokens of its own, in headers and in cookies, and the example
//! `jwt` with JSON Web Tokens that expire.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
