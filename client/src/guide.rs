//! A guide from an empty project to a client in production: credentials, sending and receiving, lost sessions, back pressure,
//! closing, proxies, tests; [restarts](restarting) of the client's program have a page. Every example compiles, and nearly all run as tests.
//!
//! 1. [Getting started](#getting-started)
//! 2. [Credentials](#credentials)
//! 3. [Sending and receiving](#sending-and-receiving)
//! 4. [Wire formats](#wire-formats)
//! 5. [When the socket is lost](#when-the-socket-is-lost)
//! 6. [Limits and back pressure](#limits-and-back-pressure)
//! 7. [Closing](#closing)
//! 8. [Ways to the server](#ways-to-the-server)
//! 9. [Testing](#testing)
//!
//! # Getting started
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
//! A [`Client`] is an address with options, checked once. A [`Connection`] is a session, and receives; a [`Sender`] sends, from
//! any task. A [`Frame`] has the name of an event, a payload, and an ID of your own, each of which can be absent.
//!
//! The server has to be one of rejoin's. For other servers that exchange frames of a codec there is
//! [plain mode](ClientBuilder::plain).
//!
//! # Credentials
//!
//! Send credentials in a header, which goes out with each dial, including reconnects. If the server refuses the first dial, the
//! error has its status and text, and the client does not try again: nothing shows yet that the dial can succeed.
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
//! Such a header never changes. If credentials expire, [`ClientBuilder::dial_headers`] and [`ClientBuilder::token`] ask for fresh ones
//! before each dial, also when the server has closed the socket with 3000 `credentials expired`: the session is resumed.
//!
//! A refused reconnect is an event, [`Event::Refused`], with the status and the text of the answer. The client dials again after
//! 404, 408, 421, 425, 429 and 5xx, which may be temporary, but not before `Retry-After`. After 401 it dials once more if
//! `dial_headers`, `dial_url` or `token` can supply fresh credentials. Any other status, including a redirect, ends the connection with
//! [`CloseReason::Refused`]; [`Connection::take_unacknowledged`] then returns the frames that the server had not acknowledged.
//!
//! A token in the URL's query is written to the access logs of the server and of each proxy on the way. If the server accepts
//! tokens nowhere else, use short-lived or one-time tokens, and let [`ClientBuilder::dial_url`] ask for a URL with a fresh one
//! before each dial.
//!
//! # Sending and receiving
//!
//! One task receives: [`Connection::recv`] returns one event after the other, and the connection is also a `Stream` of them. Any
//! number of tasks send: [`Connection::sender`] is cheap to clone, and [`Connection::sink`] makes a `Sink`. A send either is
//! accepted or fails; it makes no difference whether a socket is connected at the moment.
//!
//! ```
//! use rejoin_client::{Client, Connection, Event, Frame};
//!
//! async fn receive(mut connection: Connection) -> Vec<String> {
//!     let mut received = Vec::new();
//!     while let Some(event) = connection.recv().await {
//!         if let Event::Message(frame) = event {
//!             match frame.event() {
//!                 "chat.message" => received.extend(frame.decode::<String>()),
//!                 _ => {} // perhaps from a later version of the server
//!             }
//!         }
//!     }
//!     received
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
//! let receiving = tokio::spawn(receive(connection));
//! for text in ["hello", "bye"] {
//!     sender.send(&Frame::new("chat.message", text)?)?;
//! }
//! # assert_eq!(receiving.await?, ["hello", "bye"]);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! For many events, a [`Router`] chooses the handler of each, decodes its arguments, and sends its return value.
//!
//! [`Connection::send_acked`] waits until the server's side of the session has received the frame.
//!
//! # Asking
//!
//! [`Connection::ask`] sends a question and waits for its answer, which is not among the events of [`Connection::recv`].
//! [`Connection::ask_stream`] returns a stream of answers. Both survive a lost socket: the question is answered exactly once, or
//! the call fails because the session has ended or was lost. Dropping the future cancels the question. An answer that reports an
//! error is an [`AskError::Answer`]; its [`ErrorAnswer`] has a code and a message.
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server, router::{Decoded, Router}};
//! # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # async fn add(Decoded(n): Decoded<Vec<i64>>) -> Frame { Frame::new("sum", &n.iter().sum::<i64>()).unwrap() }
//! use std::time::Duration;
//! use rejoin_client::{AskError, Client, Frame};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(anyone).router(Router::builder().on("add", add).build()?).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let connection = Client::builder(url).connect().await?;
//! let sum = connection.ask(&Frame::new("add", &[1, 2, 3])?).timeout(Duration::from_secs(5)).await?;
//! assert_eq!(sum.decode::<i64>()?, 6);
//! let refused = connection.ask(&Frame::event_only("multiply")).await;
//! assert!(matches!(refused, Err(AskError::Answer(error)) if error.code() == "unknown_event"));
//! # connection.close().await;
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The server may ask, too. A [`Router`] answers its questions with what the handler returns; without a router, send a frame
//! with [`Frame::with_re`] and the id of the question.
//!
//! # Wire formats
//!
//! [`ClientBuilder::codec`] sets the format of frames on the wire, which the server has to support. The default is JSON:
//! [`JsonCodec`]. The features `msgpack` and `protobuf` add `MsgpackCodec` and `ProtobufCodec`. For a format of your own,
//! implement [`Codec`].
//!
//! ```
//! use rejoin_client::{Client, JsonCodec};
//!
//! let client = Client::builder("wss://chat.example.com/ws").codec(JsonCodec).build()?;
//! # Ok::<(), rejoin_client::ConfigError>(())
//! ```
//!
//! The code that sends and reads does not depend on the format: [`Frame::new`] takes any serde type, and [`Frame::decode`]
//! returns it, whatever the sender's codec. [`Payload::to_bytes`] returns bytes, and `Frame::decode_protobuf` prost messages.
//!
//! # When the socket is lost
//!
//! The client dials again by itself, with delays that grow from 500 ms to 30 s, with jitter ([`ClientBuilder::reconnect`]),
//! without a limit or until [a number of reconnects in a row](ClientBuilder::max_retries) have failed, and resumes its session.
//! Frames that were sent meanwhile go out then, and frames from the server arrive, in order. Tell your users two things: that
//! there is no connection at the moment, and the rare case in which frames may be missing.
//!
//! ```
//! use rejoin_client::{Client, Connection, Event, Frame};
//!
//! async fn receive(connection: &mut Connection, mut show: impl FnMut(String)) {
//!     while let Some(event) = connection.recv().await {
//!         match event {
//!             Event::Message(frame) => show(format!("{} came", frame.event())),
//!             Event::Disconnected { .. } => show("offline: your messages are kept".into()),
//!             Event::Reconnected { .. } => show("online".into()),
//!             // The server runs, but refuses us. The client may try again; if not, `Closed` follows.
//!             Event::Refused(refusal) => show(refusal.to_string()),
//!             // The server has restarted, or we were away for too long. It is unknown which of these frames it
//!             // received: send those again that do no harm if they arrive twice.
//!             Event::SessionLost { unacknowledged, .. } => {
//!                 for frame in unacknowledged {
//!                     show(format!("may not have arrived: {}", frame.event()));
//!                 }
//!             }
//!             // The server's buffer for us overflowed while we were away.
//!             Event::Gap(gap) => show(format!("{} messages are missing", gap.frames())),
//!             Event::Closed(closed) => show(format!("over: {}", closed.reason)),
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
//! # let mut shown = Vec::new();
//! # receive(&mut connection, |text| {
//! #     match text.as_str() {
//! #         "welcome came" => server.cut("ada").unwrap(),
//! #         "online" => server.connection("ada").unwrap().close_with(1000, "done").unwrap(),
//! #         _ => {}
//! #     }
//! #     shown.push(text);
//! # })
//! # .await;
//! # assert_eq!(shown[..3], ["welcome came", "offline: your messages are kept", "online"]);
//! # assert_eq!(shown[3..], ["over: closed by the server with 1000 done"]);
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! For an indicator that shows whether the application is online, follow [`Connection::state_changes`]. If the connection should
//! end with its first socket, turn reconnecting off: [`ClientBuilder::no_reconnect`].
//!
//! # Limits and back pressure
//!
//! The send buffer keeps frames until the server has acknowledged them: up to 256 frames and 1 MiB
//! ([`ClientBuilder::send_buffer`], [`send_buffer_bytes`](ClientBuilder::send_buffer_bytes)), or less if the server keeps less.
//! When it is full, [`send`](Connection::send) fails, and evicts no accepted frame; [`send_wait`](Connection::send_wait) waits
//! for capacity. [`Overflow`] has other policies, for the client ([`ClientBuilder::overflow`]) and for each call
//! ([`send_with`](Connection::send_with)). A client that stays offline fills its buffer: tell your users, or keep further
//! messages yourself.
//!
//! ```
//! use rejoin_client::{Frame, SendError, Sender};
//!
//! /// Sends a line if the buffer has capacity now.
//! fn try_send(sender: &Sender, text: &str) -> Result<bool, SendError> {
//!     let frame = Frame::new("chat.message", text).expect("JSON can represent a string");
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
//! # assert_eq!((try_send(&connection.sender(), "one"), try_send(&connection.sender(), "two")), (Ok(true), Ok(false)));
//! # connection.close().await;
//! # assert_eq!(try_send(&connection.sender(), "three"), Err(SendError::Closed));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A frame that exceeds the server's limit, 64 KiB by default, is refused with [`SendError::TooBig`], which has the size and the
//! limit: the server announces the limit when it opens the session. Split the payload, or upload it over HTTP and send its
//! address. In plain mode no limit is announced, and the server closes with 1009.
//!
//! In the other direction, take events promptly: once 64 frames or 1 MiB wait for [`recv`](Connection::recv), the server has to
//! wait. A message of more than [`max_message_size`](ClientBuilder::max_message_size), 1 MiB, ends the connection. In session
//! mode each dial announces that limit to the server (the subprotocol `rejoin.max.N`), so that rejoin's server does not send such
//! a message: its `send` fails, and a broadcast arrives as [`Event::Gap`].
//!
//! # Closing
//!
//! [`close`](Connection::close) delivers the accepted frames, sends a close frame, and returns when the connection's task has
//! ended. It takes at most the [close timeout](ClientBuilder::close_timeout), 5 s, and a second for the socket. It returns the
//! number of frames that it could not deliver, and [`take_unacknowledged`](Connection::take_unacknowledged) returns the frames:
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! use rejoin_client::{Client, Frame};
//!
//! # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # fn store(_: Vec<Frame>) {}
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(anyone).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let mut connection = Client::builder(url).connect().await?;
//! connection.send(&Frame::new("chat.message", "goodbye")?)?;
//! let closed = connection.close().await;
//! if closed.unacknowledged > 0 {
//!     store(connection.take_unacknowledged()); // in a file, for the next run
//! }
//! # assert_eq!(closed.unacknowledged, 0);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! [`abort`](Connection::abort), or dropping the [`Connection`], ends it at once and sends nothing: to the server the socket is
//! lost, and it keeps the session for its window.
//!
//! # Ways to the server
//!
//! - `ws://` and `wss://`, over TCP and rustls, with Mozilla's roots. The feature `rustls-tls-native-roots` trusts those of the
//!   operating system, too; `ClientBuilder::tls` sets others, or a client certificate ([features](crate#features)).
//! - A host with several addresses: the client tries IPv6 and IPv4 addresses in turn, each after 250 ms or a failure of the one
//!   before, and uses the first that answers (RFC 8305). A broken IPv6 costs a quarter of a second.
//! - A load balancer that assigns clients to servers by a cookie: the client keeps the cookies of answers and sends them on the next
//!   dials of the same connection ([`ClientBuilder::no_cookies`] turns this off).
//! - An HTTP proxy, a tunnel, a Unix socket: [`ClientBuilder::connector`], which is called for each dial.
//! - A stream that the application has opened: [`Client::connect_over`], for the first socket; or, with
//!   [`no_reconnect`](ClientBuilder::no_reconnect), for the only one.
//!
//! For a server that listens on a Unix socket (`serve_connection` of rejoin-server takes an accepted stream):
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
//! Run a rejoin-server in the same process, over pipes, with tokio's paused clock: tests then need no ports, do not wait, and run
//! the same each time ([`ClientBuilder::seed`]).
//!
//! ```
//! use rejoin_client::{Client, Event, Frame};
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
//!     Ok(Identity::new().with_room("lobby").with_id("ada"))
//! }
//!
//! // In your tests: #[tokio::test(start_paused = true)]
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
//!     server.cut("ada")?; // loses the socket, as a network would
//!     server.send("ada", &Frame::new("chat.message", "sent while you were away")?)?;
//!     assert!(matches!(client.recv().await, Some(Event::Disconnected { .. })));
//!     assert!(matches!(client.recv().await, Some(Event::Reconnected { resumed: true })));
//!     let Some(Event::Message(frame)) = client.recv().await else { panic!("no replay") };
//!     assert_eq!(frame.decode::<String>()?, "sent while you were away");
//!     Ok(())
//! }
//! ```

pub mod restarting;

#[allow(unused_imports, reason = "what the text links to")]
use crate::*;
