//! From nothing to a client that its users can trust: who it is, what it says and hears, what to do when a session is lost,
//! back pressure, closing, ways through proxies, tests. Every example here compiles, and nearly all of them run as tests.
//!
//! 1. [From nothing](#from-nothing)
//! 2. [Showing who you are](#showing-who-you-are)
//! 3. [Saying and hearing](#saying-and-hearing)
//! 4. [Wire formats](#wire-formats)
//! 5. [When the socket is lost](#when-the-socket-is-lost)
//! 6. [Limits and back pressure](#limits-and-back-pressure)
//! 7. [Closing](#closing)
//! 8. [Ways to the server](#ways-to-the-server)
//! 9. [Testing](#testing)
//!
//! # From nothing
//!
//! ```toml
//! [dependencies]
//! rejoin-client = "0.1"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! ```
//!
//! ```no_run
//! use rejoin_client::{Client, Event, Frame};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut connection = Client::builder("ws://127.0.0.1:9000/").connect().await?;
//!     connection.send(&Frame::new("chat.message", "hello")?)?;
//!     while let Some(event) = connection.recv().await {
//!         match event {
//!             Event::Message(frame) => println!("{}: {}", frame.event(), frame.decode::<String>()?),
//!             other => println!("{other:?}"),
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! [`Client`] is an address and options, checked once; [`Connection`] is a session, and hears; [`Sender`] says, from any task.
//! A [`Frame`] is an event's name, a payload, and an id of your own, each of which may be absent.
//!
//! The server is one of rejoin's. For any other that exchanges frames of a codec there is [plain mode](ClientBuilder::plain).
//!
//! # Showing who you are
//!
//! A header, sent with each dial, those of reconnects included. What the server refuses comes with its status and text, at once:
//! the first dial is not tried again, as nobody knows yet whether it can ever succeed.
//!
//! ```
//! use rejoin_client::{Client, ConnectError};
//!
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//! #     match request.header("authorization") {
//! #         Some("Bearer secret-of-ada") => Ok(Identity::new().with_room("lobby").with_id("ada")),
//! #         _ => Err(Reject::unauthorized("this token is not ours")),
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let client = Client::builder(&url).header("authorization", "Bearer secret-of-ben").build()?;
//! match client.connect().await {
//!     Ok(connection) => println!("we are {:?} in {:?}", connection.id(), connection.room()),
//!     Err(ConnectError::Refused(refusal)) if refusal.status == 401 => {
//!         println!("log in: {}", refusal.body);
//!     }
//!     Err(error) => return Err(error.into()), // no network, no server, no certificate, …
//! }
//! # let result = Client::builder(&url).header("authorization", "Bearer secret-of-ben").connect().await;
//! # assert!(matches!(result, Err(ConnectError::Refused(refusal)) if refusal.body == "this token is not ours"));
//! # let ada = Client::builder(&url).header("authorization", "Bearer secret-of-ada").connect().await?;
//! # assert_eq!(ada.id().as_deref(), Some("ada"));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The header stays the one that the client was built with. Where its credentials expire, [`ClientBuilder::dial_headers`] asks
//! for fresh ones before each dial.
//!
//! A reconnect that is refused is an event, [`Event::Refused`], with the status and the text of the answer. The client dials
//! again after 404, 408, 421, 425, 429 and 5xx, which may be over in a moment, not before `Retry-After`. After 401 it dials once
//! more where `dial_headers` or `dial_url` can bring fresh credentials. Any other status, a redirect among them, ends the connection with
//! [`CloseReason::Refused`]; [`Connection::take_unacknowledged`] then returns the frames that the server had not acknowledged.
//!
//! A token in the URL's query ends in the access logs of the server and of each proxy on the way. Where the server takes it
//! nowhere else, let it be short-lived or for one use, and have [`ClientBuilder::dial_url`] ask for a URL with a fresh one
//! before each dial.
//!
//! # Saying and hearing
//!
//! One task hears: [`Connection::recv`] gives one event after the other. Any number of tasks say: [`Connection::sender`] is cheap
//! to clone. A send is accepted, or it is an error; whether there is a socket at the moment makes no difference.
//!
//! ```
//! use rejoin_client::{Client, Connection, Event, Frame};
//!
//! async fn hear(mut connection: Connection) -> Vec<String> {
//!     let mut heard = Vec::new();
//!     while let Some(event) = connection.recv().await {
//!         if let Event::Message(frame) = event {
//!             match frame.event() {
//!                 "chat.message" => heard.extend(frame.decode::<String>()),
//!                 _ => {} // from a later version of the server, perhaps
//!             }
//!         }
//!     }
//!     heard
//! }
//!
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby").with_id("ada")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect)
//! #     .on_message(|me, frame| async move {
//! #         me.send_wait(&frame).await.ok();
//! #         if frame.decode::<String>().unwrap().starts_with("bye") { me.close() }
//! #     })
//! #     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let connection = Client::builder(url).connect().await?;
//! let sender = connection.sender();
//! let heard = tokio::spawn(hear(connection));
//! for text in ["hello", "bye"] {
//!     sender.send(&Frame::new("chat.message", text)?)?;
//! }
//! # assert_eq!(heard.await?, ["hello", "bye"]);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Where events become many, a [`Router`] finds the handler for each, decodes what it takes, and sends what it returns.
//!
//! [`Connection::send_acked`] waits until the server's side of the session has received the frame.
//!
//! To match answers with questions, give the question an id ([`Frame::with_id`]) and have the server send it back.
//!
//! # Wire formats
//!
//! [`ClientBuilder::codec`] says in which format frames cross the wire; the server has to know it. Without it they are JSON:
//! [`JsonCodec`]. `MsgpackCodec` and `ProtobufCodec` are there behind the features `msgpack` and `protobuf`. A format of your
//! own is an implementation of [`Codec`].
//!
//! ```
//! use rejoin_client::{Client, JsonCodec};
//!
//! let client = Client::builder("wss://chat.example.com/ws").codec(JsonCodec).build()?;
//! # Ok::<(), rejoin_client::ConfigError>(())
//! ```
//!
//! What you send and read does not depend on it: [`Frame::new`] takes any type of serde's, and [`Frame::decode`] gives it back,
//! whatever the sender's codec was. Bytes come back by [`Payload::to_bytes`], prost messages by `Frame::decode_protobuf`.
//!
//! # When the socket is lost
//!
//! The client dials again by itself, after 500 ms at first and 30 s at last, with jitter ([`ClientBuilder::reconnect`]), for ever
//! or until [as many reconnects in a row](ClientBuilder::max_retries) fail as you allow, and takes its session back. What was sent meanwhile leaves then; what the
//! server said meanwhile arrives, in order. Two things are worth telling your user: that there is no connection at the moment,
//! and the rare case in which something may be missing.
//!
//! ```
//! use rejoin_client::{Client, Connection, Event, Frame};
//!
//! async fn hear(connection: &mut Connection, mut tell: impl FnMut(String)) {
//!     while let Some(event) = connection.recv().await {
//!         match event {
//!             Event::Message(frame) => tell(format!("{} came", frame.event())),
//!             Event::Disconnected { .. } => tell("offline: what you say is kept".into()),
//!             Event::Reconnected { .. } => tell("online".into()),
//!             // The server runs, and does not want us; the client may try again, and says so if it does not.
//!             Event::Refused(refusal) => tell(refusal.to_string()),
//!             // The server was started again, or we were away for too long. What of these it has
//!             // received nobody knows: send again what does no harm when it comes twice.
//!             Event::SessionLost { unacknowledged, .. } => {
//!                 for frame in unacknowledged {
//!                     tell(format!("not known whether it arrived: {}", frame.event()));
//!                 }
//!             }
//!             // The server kept as much for us as it could, which was not all.
//!             Event::Gap(gap) => tell(format!("{} messages are missing", gap.frames())),
//!             Event::Closed(closed) => tell(format!("over: {}", closed.reason)),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # use std::time::Duration;
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby").with_id("ada")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).on_connect(|me| async move {
//! #     me.send(&Frame::event_only("welcome")).ok();
//! # }).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let mut connection = Client::builder(url)
//!     .reconnect(Duration::from_millis(100), Duration::from_secs(5))
//!     .connect()
//!     .await?;
//! # let mut told = Vec::new();
//! # hear(&mut connection, |text| {
//! #     match text.as_str() {
//! #         "welcome came" => server.cut("ada").unwrap(),
//! #         "online" => server.connection("ada").unwrap().close_with(1000, "done").unwrap(),
//! #         _ => {}
//! #     }
//! #     told.push(text);
//! # })
//! # .await;
//! # assert_eq!(told[..3], ["welcome came", "offline: what you say is kept", "online"]);
//! # assert_eq!(told[3..], ["over: closed by the server with 1000 done"]);
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A light that shows whether we are online follows [`Connection::state_changes`]. Who wants to see the end of the first socket as
//! the end of all turns reconnecting off: [`ClientBuilder::no_reconnect`].
//!
//! # Limits and back pressure
//!
//! What is sent is kept until the server has acknowledged it: 256 frames and 1 MiB ([`ClientBuilder::send_buffer`],
//! [`send_buffer_bytes`](ClientBuilder::send_buffer_bytes)), or less where the server keeps less. Beyond that
//! [`send`](Connection::send) fails, and nothing that was accepted is given up for it; [`send_wait`](Connection::send_wait) waits for
//! room; [`Overflow`] has other policies, for the client ([`ClientBuilder::overflow`]) and for each call
//! ([`send_with`](Connection::send_with)). A client that is offline for long gets there: say so to your user, or keep the rest
//! yourself.
//!
//! ```
//! use rejoin_client::{Frame, SendError, Sender};
//!
//! /// Says it if that is possible now.
//! fn say(sender: &Sender, text: &str) -> Result<bool, SendError> {
//!     let frame = Frame::new("chat.message", text).expect("a string has an image in JSON");
//!     match sender.send(&frame) {
//!         Ok(()) => Ok(true),
//!         Err(SendError::Full) => Ok(false),
//!         Err(error) => Err(error),
//!     }
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let connection = rejoin_client::Client::builder(url).send_buffer(1).connect().await?;
//! # assert_eq!((say(&connection.sender(), "one"), say(&connection.sender(), "two")), (Ok(true), Ok(false)));
//! # connection.close().await;
//! # assert_eq!(say(&connection.sender(), "three"), Err(SendError::Closed));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A frame that is larger than the server's limit, 64 KiB where its operator has not chosen another, is refused with
//! [`SendError::TooBig`], which names the size and the limit: the server announces the limit when it opens the session. Split the
//! payload, or upload it over HTTP and send its address. In plain mode no limit is announced, and the server closes with 1009.
//!
//! In the other direction, take what comes: once 64 frames or 1 MiB wait for [`recv`](Connection::recv), the server has to wait.
//! A message of more than [`max_message_size`](ClientBuilder::max_message_size), 1 MiB, ends the connection. In session mode each
//! dial offers that limit to the server (the subprotocol `rejoin.max.N`), so that a server of rejoin's does not send such a message:
//! its `send` fails, and a broadcast arrives as [`Event::Gap`].
//!
//! # Closing
//!
//! [`close`](Connection::close) delivers what was accepted, tells the server, and returns when the connection's task has ended; it
//! takes no longer than the [close timeout](ClientBuilder::close_timeout), 5 s, and a second for the socket. It says how many
//! frames it could not deliver, and they can be had:
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! use rejoin_client::{Client, Frame};
//!
//! # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(anyone).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let mut connection = Client::builder(url).connect().await?;
//! connection.send(&Frame::new("chat.message", "goodbye")?)?;
//! let closed = connection.close().await;
//! if closed.unacknowledged > 0 {
//!     let for_next_time = connection.take_unacknowledged();
//!     // … to a file
//! #   let _: Vec<Frame> = for_next_time;
//! }
//! # assert_eq!(closed.unacknowledged, 0);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! [`abort`](Connection::abort), or dropping the [`Connection`], ends it at once and without a word: the server takes it for a lost
//! socket, and keeps the session for its window.
//!
//! # Ways to the server
//!
//! - `ws://` and `wss://`, over TCP and rustls, with Mozilla's roots. The feature `rustls-tls-native-roots` trusts those of the
//!   operating system, too; `ClientBuilder::tls` sets others, or a client certificate ([features](crate#features)).
//! - A host with several addresses: IPv6 and IPv4 in turn, the next one after 250 ms or a failure, and the first that answers
//!   wins (RFC 8305). A broken IPv6 costs a quarter of a second.
//! - A balancer that sticks clients to servers by a cookie: the client keeps the cookies of its answers and sends them on the
//!   next dial of the same connection ([`ClientBuilder::no_cookies`] turns it off).
//! - Through an HTTP proxy, a tunnel, a Unix socket: [`ClientBuilder::connector`], which is called for each dial.
//! - A stream that is there already: [`Client::connect_over`], for the first socket; or, with
//!   [`no_reconnect`](ClientBuilder::no_reconnect), for the only one.
//!
//! A Unix socket, where the server listens on one (`serve_connection` of rejoin-server takes what it accepts):
//!
//! ```
//! # #[cfg(unix)] {
//! use rejoin_client::Client;
//! use tokio::net::UnixStream;
//!
//! let client = Client::builder("ws://chat.internal/ws")
//!     .connector(|| UnixStream::connect("/run/chat.sock"))
//!     .build()?;
//! # }
//! # Ok::<(), rejoin_client::ConfigError>(())
//! ```
//!
//! # Testing
//!
//! A rejoin-server in the same process, over pipes, and tokio's paused clock: no ports, no waiting, the same each time
//! ([`ClientBuilder::seed`]).
//!
//! ```
//! use rejoin_client::{Client, Event, Frame};
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
//!     let dialled = server.clone();
//!     let mut client = Client::builder("ws://in.memory/")
//!         .seed(1)
//!         .connector(move || {
//!             let (ours, theirs) = tokio::io::duplex(64 * 1024);
//!             let server = dialled.clone();
//!             tokio::spawn(async move { server.serve_connection(theirs).await });
//!             async { Ok(ours) }
//!         })
//!         .connect()
//!         .await?;
//!
//!     server.cut("ada")?; // as a network would
//!     server.send("ada", &Frame::new("chat.message", "said while you were away")?)?;
//!     assert!(matches!(client.recv().await, Some(Event::Disconnected { .. })));
//!     assert!(matches!(client.recv().await, Some(Event::Reconnected { resumed: true })));
//!     let Some(Event::Message(frame)) = client.recv().await else { panic!("no replay") };
//!     assert_eq!(frame.decode::<String>()?, "said while you were away");
//!     Ok(())
//! }
//! ```

#[allow(unused_imports, reason = "what the text links to")]
use crate::*;
