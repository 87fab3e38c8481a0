//! From nothing to a server that runs: who connects, what is said, what is lost and what is not, limits, shutdown,
//! deployment, tests. Every example here compiles, and nearly all of them run as tests.
//!
//! 1. [From nothing](#from-nothing)
//! 2. [Who connects](#who-connects)
//! 3. [Saying something](#saying-something)
//! 4. [Wire formats](#wire-formats)
//! 5. [When the socket is lost](#when-the-socket-is-lost)
//! 6. [Limits and back pressure](#limits-and-back-pressure)
//! 7. [Shutting down](#shutting-down)
//! 8. [Deploying](#deploying)
//! 9. [Testing](#testing)
//!
//! # From nothing
//!
//! ```toml
//! [dependencies]
//! rejoin-server = "0.1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "signal"] }
//! ```
//!
//! A server needs one thing of you: the function that decides who a request is and which room it joins. The rest has defaults.
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
//! Three names are all there is to know at first. [`Server`] is the handle to everything that is connected; clone it wherever
//! something is to be said. [`Connection`] is one session: it stays the same while its sockets come and go. [`Frame`] is what is
//! sent and received: an event's name, a payload, and an id of your own, each of which may be absent.
//!
//! `rejoin-client` is the other end in Rust. In a browser it is a file of JavaScript without dependencies, `rejoin.js` in the
//! repository's `examples/chat`, or, with [less to promise](crate#two-modes), the bare `WebSocket`, which sends and gets
//! `{"event":"chat","payload":"hello"}`. Pages of another origin than the server's own have to be [allowed](Builder::allow_origin).
//!
//! In an axum app, mount [`Server::service`] instead of listening; state, middleware and other routes stay as they are:
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
//! The feature `axum`, on by default, takes the upgraded socket from below `axum::serve`: each read and each write goes through two
//! layers less, and the socket gets `TCP_NODELAY`. Without the feature h2 is not built, and the mount works all the same.
//!
//! # Who connects
//!
//! [`ConnectFn`] sees the HTTP request before it is answered: path, query, headers, cookies, what middleware has attached. It
//! returns an [`Identity`], or a [`Reject`] with a status and a text that the client gets to read. For an error of any other type
//! you choose the status, by [`OrReject`]: `.or_unauthorized()?` (401, the credentials are wrong), `.or_forbidden()?` (403) or
//! `.or_unavailable()?` (503, a database is away). The client gets a neutral text, and the error goes to the log.
//!
//! ```
//! use std::sync::Arc;
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! struct Accounts; // your database, a key that checks signatures, …
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
//!     let account = account.ok_or_else(|| Reject::unauthorized("this token is not ours"))?;
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
//!         let account: &Account = connection.data().expect("connect attaches it");
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
//! Five things to know:
//!
//! - **It runs for every socket**, those of a resume included: the session's token alone is not enough. A client whose login
//!   has expired meanwhile is refused, and its session ends with its window. Let logins outlive the absences that you want to
//!   forgive.
//! - **Whoever may claim a connection ID can end the session that has it.** Derive the ID from what you have authenticated, or
//!   leave it out and get a random one. One user on several devices needs several IDs: the name and the device's.
//! - **Browsers cannot set headers.** Their `WebSocket` sends the cookies of the server's origin by itself, which is why pages of
//!   other origins are refused unless you [allow](Builder::allow_origin) them. A token in the query ends in access logs.
//! - **It has the [handshake timeout](Builder::handshake_timeout)**, 10 s, and then the client is told 503. A panic in it is a 500.
//! - **Data that leads back to its connection** holds a [`WeakConnection`], or it is never dropped:
//!   [`Identity::with_data`](crate::Identity::with_data) has an example.
//!
//! The example `auth` in the repository has all of this with signed tokens, for headers and for cookies.
//!
//! # Saying something
//!
//! To one connection: [`Connection::send`], or [`Server::send`] by its ID. To a room: [`Server::broadcast`]. All of them accept
//! the frame and return; the session's task writes it. Callbacks are async and run one after the other for each connection, so
//! a handler may await a database without being overtaken by the next message, and without holding up anybody else.
//!
//! ```
//! use rejoin_server::{Connection, Frame};
//! use serde::{Deserialize, Serialize};
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! #[derive(Deserialize)]
//! struct Say { text: String }
//!
//! #[derive(Serialize)]
//! struct Said<'a> { from: &'a str, text: &'a str }
//!
//! async fn handle_message(me: Connection, message: Frame) {
//!     match message.event() {
//!         "say" => {
//!             let Ok(say) = message.decode::<Say>() else {
//!                 return me.close_with(1008, "say is {text}").expect("it is a valid close");
//!             };
//!             let said = Said { from: me.id(), text: &say.text };
//!             let said = Frame::new("said", &said).expect("strings have an image in JSON");
//!             // An empty room is no error; a server that was shut down is.
//!             me.broadcast(&said).ok();
//!         }
//!         "who" => {
//!             let members = me.server().connections(me.room().expect("connect assigns one"));
//!             let ids: Vec<_> = members.iter().map(Connection::id).collect();
//!             let these = Frame::new("these", &ids).expect("strings have an image in JSON");
//!             me.send(&these.with_id(message.id())).ok();
//!         }
//!         _ => me.close_with(1008, "no such event").expect("it is a valid close"),
//!     }
//! }
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby").with_id("ada")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).on_message(handle_message).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut ada = rejoin_client::Client::builder(url).connect().await?;
//! # ada.send(&Frame::new("say", &std::collections::BTreeMap::from([("text", "hello")]))?)?;
//! # ada.send(&Frame::event_only("who").with_id("q-1"))?;
//! # let Some(rejoin_client::Event::Message(said)) = ada.recv().await else { panic!() };
//! # assert_eq!(said.event(), "said");
//! # let Some(rejoin_client::Event::Message(these)) = ada.recv().await else { panic!() };
//! # assert_eq!((these.id(), these.decode::<Vec<String>>()?), ("q-1", vec!["ada".to_owned()]));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Callbacks that share state are the methods of one type, a [`Handler`]: its documentation has an example. Where events become
//! many, a [`Router`] finds the handler, decodes what it takes, sends what it returns, and has one place for
//! what fails; [`Builder::router`] takes it instead of `on_message`.
//!
//! A router's handlers also take the [data](router::Data) that `ConnectFn` attached to the connection, and [state](router::State)
//! that all connections share: `async fn greet(Data(user): Data<User>, State(db): State<Db>)`.
//!
//! Success of a send means 'accepted': in session mode it will be delivered exactly once and in order while the session lives,
//! whatever happens to the socket. [`Connection::send_acked`] waits until the peer's side of the session has it. Who has to
//! know what the peer's application made of it has it answer, as `who` does above: the frame's id matches answers with
//! questions.
//!
//! # Wire formats
//!
//! A frame crosses the wire in the connection's codec. Without further ado that is [`JsonCodec`], text messages with
//! `{"id":…,"event":…,"payload":…}`. [`Builder::codec`] adds others: the first one added is the default, which plain clients
//! get; session clients say which they want. MessagePack and Protobuf are there behind the features `msgpack` and
//! `protobuf`, and connections of all three may be in one room: a broadcast is encoded once for each codec in it.
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! use rejoin_server::{JsonCodec, Server};
//! # #[cfg(all(feature = "msgpack", feature = "protobuf"))]
//! use rejoin_server::{MsgpackCodec, ProtobufCodec};
//!
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! let builder = Server::builder(connect).codec(JsonCodec);
//! # #[cfg(all(feature = "msgpack", feature = "protobuf"))]
//! let builder = builder.codec(MsgpackCodec).codec(ProtobufCodec);
//! let server = builder.build()?;
//! # let _ = server;
//! # Ok::<(), rejoin_server::ConfigError>(())
//! ```
//!
//! A [`Payload`] is a value with its format. [`Frame::new`] takes any type of serde's, and [`Frame::decode`] gives it back,
//! whatever the codecs on the way: JSON and MessagePack are translated into each other by a
//! [table of images](crate::codecs#encodings), and what has no image in a receiver's format is told to that receiver as a gap.
//! A prost message (`Frame::protobuf`, `Frame::decode_protobuf`) and raw bytes ([`Payload::bytes`], [`Payload::to_bytes`])
//! travel as they are, in JSON as base64. Clients in other languages find the Protobuf schema in the crate `rejoin-codecs`, as
//! `proto/rejoin/v1/frame.proto`.
//!
//! A format of your own is an implementation of [`Codec`], a trait of three small methods: the example
//! `own_codec` has one. [`codecs::payloads`] checks and translates payloads for it, and
//! [`codecs::conformance::check`] says in a test of yours whether it keeps what rejoin
//! relies on.
//!
//! # When the socket is lost
//!
//! The session waits for the [resume window](Builder::resume_window), 30 s, and keeps what is sent to it. The client comes back
//! with the session's token, both sides compare their counts, and what is missing is sent again, in order, before anything new.
//! Your code sees two callbacks, from which you can notify others; nothing else has to be done. Track presence by
//! the session's [number](Connection::number), for a newcomer may [replace](DuplicateId) a session with the same ID:
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # use std::time::Duration;
//! use rejoin_server::{Connection, Frame, Server};
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! /// The users that are present, each with its session.
//! #[derive(Clone, Default)]
//! struct Presence(Arc<Mutex<HashMap<String, u64>>>);
//!
//! impl Presence {
//!     /// Whether nobody was there under this ID.
//!     fn enter(&self, who: &Connection) -> bool {
//!         self.0.lock().unwrap().insert(who.id().to_owned(), who.number()).is_none()
//!     }
//!
//!     /// Whether nobody is there any more: a newer session may have the ID.
//!     fn leave(&self, who: &Connection) -> bool {
//!         let mut here = self.0.lock().unwrap();
//!         let is_last = here.get(who.id()) == Some(&who.number());
//!         is_last && here.remove(who.id()).is_some()
//!     }
//! }
//!
//! fn tell(who: &Connection, event: &str) {
//!     let frame = Frame::new(event, who.id()).expect("a string has an image in JSON");
//!     who.broadcast(&frame).ok();
//! }
//!
//! # async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//! #     Ok(Identity::new().with_room("lobby").with_id(request.query("id").unwrap_or_default()))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let presence = Presence::default();
//! let [enters, leaves] = [presence.clone(), presence.clone()];
//! let server = Server::builder(connect)
//!     .resume_window(Duration::from_secs(120)) // a tunnel is longer than 30 s
//!     .on_connect(move |me| {
//!         if enters.enter(&me) { tell(&me, "joined") }
//!         async {}
//!     })
//!     .on_transport_drop(|me, _reason| async move { tell(&me, "away") })
//!     .on_transport_restore(|me| async move { tell(&me, "back") })
//!     .on_disconnect(move |me, _reason| {
//!         if leaves.leave(&me) { tell(&me, "left") }
//!         async {}
//!     })
//!     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let dial = |id: &str| rejoin_client::Client::builder(format!("{url}?id={id}")).connect();
//! # let mut ben = dial("ben").await?;
//! # let ada = dial("ada").await?;
//! # let (mut reloaded, mut heard) = (None, Vec::new());
//! # while heard.len() < 6 {
//! #     let Some(rejoin_client::Event::Message(frame)) = ben.recv().await else { panic!("it goes on") };
//! #     heard.push(format!("{} {}", frame.event(), frame.decode::<String>()?));
//! #     match heard.len() {
//! #         2 => server.cut("ada")?,
//! #         4 => reloaded = Some(dial("ada").await?),
//! #         _ => {}
//! #     }
//! # }
//! # let expected = ["joined ben", "joined ada", "away ada", "back ada", "left ada", "joined ada"];
//! # assert_eq!(heard, expected);
//! # assert!(presence.0.lock().unwrap().contains_key("ada"), "she is there in her second session");
//! # drop((ada, reloaded));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! `on_disconnect` of a session that was replaced returns before `on_connect` of the one that replaces it is called. One that takes longer than
//! a second is not waited for: then the old session leaves after the new one has come, and the number tells them apart.
//!
//! A socket that is dead without anybody having said so is noticed by its silence ([`Builder::heartbeat`], 30 s), or sooner, by
//! the client's next socket: that takes the session over at once. To see what your application makes of it, cut sockets
//! yourself: [`Server::cut`].
//!
//! Two sockets that claim the same connection ID without a token are a matter of policy: [`DuplicateId`].
//!
//! # Limits and back pressure
//!
//! Every queue has a bound in frames and in bytes, and whoever is slow costs himself.
//!
//! | what is bounded | default | beyond it |
//! |---|---|---|
//! | a message from a client ([`Builder::max_message_size`]) | 64 KiB | the session ends with 1009 |
//! | a message to a session client, by its offer `rejoin.max.N` | 1 MiB from `rejoin-client` | `send` fails with [`SendError::TooBig`], a broadcast leaves a gap for this member |
//! | what is kept for a peer ([`Builder::send_buffer`], [`Builder::send_buffer_bytes`]) | 256 frames, 1 MiB | `send` fails, `send_wait` waits, a broadcast gives up the oldest frame, and the peer is told; or as you [say](Builder::overflow) |
//! | what is kept for all peers together ([`Builder::max_retained_bytes`]) | 1 GiB | suspended sessions end, the oldest first; with none left, buffers count as full |
//! | what is read ahead of a handler | 64 frames, 1 MiB; in session mode as much again as the peer may keep, not acknowledged | the client has to wait |
//! | a socket that takes nothing of what there is to write, or less than 1 KiB/s on average ([`Builder::write_timeout`]) | 10 s | the socket counts as lost |
//! | a request's head, and how long it may take ([`Builder::handshake_timeout`]) | 16 KiB, 64 headers, 10 s | 431, or the connection is closed |
//! | how many connections | none | yours to say, below |
//!
//! So a client that does its worst holds about 3 MiB and one message, at the defaults; one that behaves holds what it was sent
//! in the last second or so. Who produces faster than a peer takes should wait for room, and give up with an error rather than hoard:
//!
//! ```
//! use rejoin_server::{Connection, Frame, SendError};
//!
//! async fn stream(to: Connection, items: impl Iterator<Item = u64>) -> Result<(), SendError> {
//!     for item in items {
//!         let frame = Frame::new("item", &item).expect("a number has an image in JSON");
//!         to.send_wait(&frame).await?; // for the write timeout, at most
//!     }
//!     Ok(())
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // In a task of its own: a handler that streamed would not hear what the client says meanwhile.
//! # let server = Server::builder(connect)
//! #     .send_buffer(4)
//! #     .on_connect(|me| async move { tokio::spawn(stream(me, 0..100)); })
//! #     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut client = rejoin_client::Client::builder(url).connect().await?;
//! # for expected in 0..100 {
//! #     let Some(rejoin_client::Event::Message(frame)) = client.recv().await else { panic!() };
//! #     assert_eq!(frame.decode::<u64>()?, expected);
//! # }
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! What a full buffer costs is a choice, for the server ([`Builder::overflow`], [`Builder::broadcast_overflow`]) and for each call
//! ([`Connection::send_with`], [`Server::broadcast_with`]): [`Overflow`] has refusing, giving up the oldest or the newest frame,
//! and ending the session. Prices that are stale by the time they arrive can go, an order cannot:
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! use rejoin_server::{Connection, Frame, Overflow, SendError};
//!
//! fn price(to: &Connection, price: &Frame) -> Result<(), SendError> {
//!     to.send_with(price, Overflow::DropOldest)
//! }
//!
//! async fn order(to: &Connection, order: &Frame) {
//!     match to.send_acked(order).await {
//!         Ok(()) => {}
//!         Err(error) => println!("by telephone, then: {error}"),
//!     }
//! }
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).send_buffer(4).on_connect(|me| async move {
//! #     for n in 0..1000 { price(&me, &Frame::new("price", &n).unwrap()).unwrap(); }
//! #     order(&me, &Frame::event_only("order")).await;
//! #     me.close();
//! # }).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut client = rejoin_client::Client::builder(url).connect().await?;
//! # let mut last = String::new();
//! # while let Some(rejoin_client::Event::Message(_) | rejoin_client::Event::Gap(_)) = {
//! #     let event = client.recv().await;
//! #     if let Some(rejoin_client::Event::Message(frame)) = &event { last = frame.event().into(); }
//! #     event
//! # } {}
//! # assert_eq!(last, "order");
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A limit on connections fits into [`ConnectFn`]: the data of an identity is dropped when its session has ended. A resume must not
//! be refused, since its session holds a permit already; [`ConnectRequest::resumes`] tells it from a new session.
//!
//! ```
//! use std::sync::Arc;
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server, StatusCode};
//! use tokio::sync::Semaphore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let permits = Arc::new(Semaphore::new(10_000));
//! # let permits = Arc::new(Semaphore::new(1));
//! let server = Server::builder(move |request: ConnectRequest| {
//!     let permits = permits.clone();
//!     async move {
//!         let identity = Identity::new().with_room("lobby");
//!         if request.resumes().is_some() {
//!             return Ok(identity); // the session has its permit
//!         }
//!         // On a reconnect rejoin's client dials again after a 503, with backoff.
//!         let full = |_| Reject::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
//!         Ok(identity.with_data(permits.try_acquire_owned().map_err(full)?))
//!     }
//! })
//! .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # use rejoin_client::{Client, ConnectError, Event};
//! # let mut first = Client::builder(&url).connect().await?;
//! # let session = server.connections("lobby").pop().expect("the first");
//! # for _ in 0..3 {
//! #     let second = Client::builder(&url).connect().await;
//! #     assert!(matches!(second, Err(ConnectError::Refused(refusal)) if refusal.status == 503));
//! #     server.cut(session.id())?;
//! #     assert!(matches!(first.recv().await, Some(Event::Disconnected { .. })));
//! #     assert!(matches!(first.recv().await, Some(Event::Reconnected { resumed: true })));
//! # }
//! # first.close().await;
//! # session.closed().await;
//! # drop(session);
//! # Client::builder(&url).connect().await?;
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Shutting down
//!
//! [`Server::shutdown`] takes no more connections, delivers what was accepted, closes every session with 1001, and returns when
//! the last callback has; what is not done by the deadline is dropped where it stands. Clients come back by themselves, to
//! whoever listens then, with a fresh session: sessions live in the memory of one process.
//!
//! ```
//! use std::time::Duration;
//! use rejoin_server::Server;
//!
//! async fn run_until(server: Server, stop: impl Future<Output = ()>) {
//!     stop.await; // `tokio::signal::ctrl_c()`, or SIGTERM
//!     let left = server.shutdown(Duration::from_secs(10)).await;
//!     if left > 0 {
//!         eprintln!("{left} sessions had handlers that did not end in time");
//!     }
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).build()?;
//! # let listening = server.listen("127.0.0.1:0").await?;
//! # run_until(server, std::future::ready(())).await;
//! # listening.closed().await;
//! # Ok(())
//! # }
//! ```
//!
//! Mounted in axum, stop both at the same time: axum's own graceful shutdown waits for requests and knows nothing of sockets
//! that were upgraded. The example `axum_mount` does.
//!
//! # Deploying
//!
//! ## Behind a proxy
//!
//! A proxy has to pass on `Connection: upgrade` and `Upgrade: websocket`, to keep the `Host` that the browser sent (or name the
//! page's origin by [`Builder::allow_origin`]), and to leave a silent connection open for longer than the ping interval, 10 s.
//! Keep `Sec-WebSocket-Protocol` out of its logs: resume offers are secrets. The tests run these two configurations.
//!
//! For nginx, in the block `http`:
//!
//! ```nginx
//! server {
//!     listen 80;
//!
//!     location /ws {
//!         proxy_pass http://127.0.0.1:9000;
//!         proxy_http_version 1.1;
//!         proxy_set_header Upgrade $http_upgrade;
//!         proxy_set_header Connection "upgrade";
//!         proxy_set_header Host $http_host;
//!     }
//! }
//! ```
//!
//! `$host` lacks the port, so that a page on another port than 80 and 443 would be refused. `proxy_read_timeout`, 60 s by default,
//! is enough. With several servers, `proxy_pass` names an `upstream` block that lists them. nginx passes a request that a server does
//! not take to the next one, leaves the first alone for 10 s (`max_fails`, `fail_timeout`), and sends no checks.
//! `proxy_next_upstream` must not list `http_503`, or nginx asks every server again after a refusal with 503.
//!
//! For HAProxy, with two servers:
//!
//! ```haproxy
//! frontend web
//!     bind :80
//!     default_backend rejoin
//!
//! backend rejoin
//!     balance leastconn
//!     cookie server insert indirect nocache
//!     option httpchk GET /healthz
//!     server one 10.0.0.1:9000 check cookie one
//!     server two 10.0.0.2:9000 check cookie two
//! ```
//!
//! **Several processes** need that cookie, or something in the URL by which the proxy finds the same process each time. The
//! client's address does not serve, because it changes when the phone leaves the house. A session lives in one process, and a
//! broadcast reaches the members in the server's own process. A client that comes to another process gets a fresh session, and an
//! event says so. Browsers send the cookie back, and so does `rejoin-client`.
//!
//! **Health checks** need [`Builder::health_path`], here `health_path("/healthz")`. Without it a load balancer that asks by GET,
//! HEAD or OPTIONS gets 426 or 405, and takes the server as down. An AWS target group needs the same path and the code 200,
//! Kubernetes an `httpGet` probe of that path. During a shutdown the answer is 503, or the connection is refused because a server
//! closes its own listener first.
//!
//! ## Everything else
//!
//! - **TLS.** Let a proxy in front speak it, or wrap the accepted socket (`tokio-rustls`, `native-tls`) and hand the stream to
//!   [`Server::spawn_connection`], with the peer's address.
//! - **Nagle's algorithm** holds a small frame back until the one before is acknowledged, up to 40 ms. It is off
//!   (`TCP_NODELAY`) on connections that [`Server::listen`] accepts, and under hyper and, with the feature `axum`, under axum
//!   where the upgraded stream is a `tokio::net::TcpStream`. For streams that only you can see through, TLS for example, call `set_nodelay(true)` on the
//!   socket after accepting it. Under `axum::serve` without the feature `axum` the listener does that:
//!
//!   ```
//!   use axum::serve::ListenerExt as _;
//!
//!   # #[tokio::main(flavor = "current_thread")]
//!   # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!   # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!   let listener = listener.tap_io(|tcp| {
//!       tcp.set_nodelay(true).ok(); // it may fail where the peer is gone already
//!   });
//!   # let mut listener = listener;
//!   # use axum::serve::Listener as _;
//!   # let _client = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
//!   # assert!(listener.accept().await.0.nodelay()?);
//!   # Ok(())
//!   # }
//!   ```
//! - **A new version.** Shut the old process down with a deadline that your supervisor grants: Kubernetes kills after 30 s unless
//!   `terminationGracePeriodSeconds` says more. Clients spread their return by backoff and jitter.
//! - **Descriptors.** A connection is one; the usual `ulimit -n` of 1024 is soon reached. Where none is left, accepting pauses for
//!   50 ms, and a warning is logged at most once a second. Beyond [`Builder::max_handshakes`] it pauses until a handshake is done.
//! - **The release build.** A delivery goes through functions of several crates: `lto = "fat"` and `codegen-units = 1` in
//!   `[profile.release]` took a sixth of the time that rejoin's own code takes for one.
//! - **The log.** At `RUST_LOG=rejoin_server=info`: each address that is listened on, the shutdown, each refused request with its status,
//!   path and peer, and each failed resume with its cause, path and peer (with the session's ID where the socket came too late). Pages of other origins are warned of, at most once a second.
//! - **What to watch.** [`Server::stats`] has the numbers at this moment, [`Metrics`] what happens, for Prometheus and the like;
//!   events come through `tracing`, in one span per session that carries its ID and room. Neither payloads nor tokens are logged.
//!
//! # Testing
//!
//! Nothing needs a port or a second: a pair of pipes is a network, and tokio's paused clock lets a window of 30 s pass in no time.
//! Here a client stays away for too long:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
//! use rejoin_client::{Client, Event};
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
//!     Ok(Identity::new().with_room("lobby").with_id("ada"))
//! }
//!
//! // In a test of yours: #[tokio::test(start_paused = true)]
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder(connect).build()?;
//!     let online = Arc::new(AtomicBool::new(true));
//!
//!     let (dialled, network) = (server.clone(), online.clone());
//!     let mut client = Client::builder("ws://in.memory/").connector(move || {
//!         let (server, up) = (dialled.clone(), network.load(Relaxed));
//!         async move {
//!             if !up {
//!                 return Err(std::io::ErrorKind::NetworkUnreachable.into());
//!             }
//!             let (ours, theirs) = tokio::io::duplex(64 * 1024);
//!             tokio::spawn(async move { server.serve_connection(theirs).await });
//!             Ok(ours)
//!         }
//!     })
//!     .connect()
//!     .await?;
//!
//!     online.store(false, Relaxed);
//!     server.cut("ada")?;
//!     assert!(matches!(client.recv().await, Some(Event::Disconnected { .. })));
//!     tokio::time::sleep(Duration::from_secs(31)).await; // longer than the window
//!     assert!(server.connections("lobby").is_empty());
//!     online.store(true, Relaxed);
//!     assert!(matches!(client.recv().await, Some(Event::SessionLost { .. })));
//!     assert!(matches!(client.recv().await, Some(Event::Reconnected { resumed: false })));
//!     Ok(())
//! }
//! ```
//!
//! `rejoin-testserver`, in the repository's `tests`, is a server with a control port (kick, cut, shut down, restart), for clients
//! in other languages.

#[allow(unused_imports, reason = "what the text links to")]
use crate::*;
