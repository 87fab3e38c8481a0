//! # Limits and back pressure
//!
//! Every queue is bounded in frames and in bytes, and a slow client only hurts itself.
//!
//! | limit | default | when it is exceeded |
//! |---|---|---|
//! | a message from a client ([`Builder::max_message_size`]) | 64 KiB | the session ends with 1009 |
//! | a message to a session client, by its offer `rejoin.max.N` | 1 MiB from `rejoin-client` | `send` fails with [`SendError::TooBig`]; a broadcast leaves a gap for this member |
//! | the send buffer of a connection ([`Builder::send_buffer`], [`Builder::send_buffer_bytes`]) | 256 frames, 1 MiB | `send` fails, `send_wait` waits, a broadcast evicts the oldest frame, and the peer gets a report; or as [configured](Builder::overflow) |
//! | the send buffers of all connections and the histories of all rooms together ([`Builder::max_retained_bytes`]) | 1 GiB | histories of rooms are forgotten; then suspended sessions end, the oldest first; if none is left, buffers count as full |
//! | messages read ahead of a handler | 64 frames, 1 MiB; in session mode up to as much again, unacknowledged, in the client's send buffer | the client has to wait |
//! | a socket that accepts no pending bytes, or less than 1 KiB/s on average ([`Builder::write_timeout`]) | 10 s | the socket counts as lost |
//! | a request's head, and the time to receive it ([`Builder::handshake_timeout`]) | 16 KiB, 64 headers, 10 s | 431, or the connection is closed |
//! | handshakes under way ([`Builder::max_handshakes`]) | 8,192 | the listeners accept no connection until one ends |
//! | sessions of the server ([`Builder::max_connections`]) | none | newcomers get 503: see [below](#connections) |
//! | sessions of a user ([`Builder::max_connections_per_user`]), of an address ([`Builder::max_connections_per_address`]) | none | newcomers get 429 |
//! | rooms of a connection ([`Builder::max_rooms_per_connection`]), members of a room ([`Builder::max_members`]), rooms ([`Builder::max_rooms`]) | none | `join` fails; newcomers get 403 or 503 |
//! | messages and bytes per second of a connection or a user ([`Builder::frame_rate`], [`Builder::byte_rate`], …) | none | the client has to wait; or by [policy](Builder::rate_policy) |
//! | messages of all sessions that wait for handlers ([`Builder::max_inbound_bytes`]) | none | clients have to wait |
//!
//! Each of these that refuses a client or makes it wait calls [`Metrics::limit_reached`].
//!
//! With the defaults, a hostile client occupies at most about 3 MiB and one message; a well-behaved one occupies the frames that
//! it was sent in the last second or so. A task that produces frames faster than a peer accepts them should wait for space, and
//! give up with an error instead of queueing without bound:
//!
//! ```
//! use rejoin_server::{Connection, Frame, SendError};
//!
//! async fn stream(to: Connection, items: impl Iterator<Item = u64>) -> Result<(), SendError> {
//!     for item in items {
//!         let frame = Frame::new("item", &item).expect("numbers can be represented in JSON");
//!         to.send_wait(&frame).await?; // waits at most for the write timeout
//!     }
//!     Ok(())
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // In a separate task: while a handler streams, it does not handle the client's messages.
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
//! # Overflow policies
//!
//! A full buffer can be handled in several ways, which you choose for the server ([`Builder::overflow`],
//! [`Builder::broadcast_overflow`]) or for each call ([`Connection::send_with`], [`Server::broadcast_with`]). [`Overflow`] can
//! reject the frame, drop the oldest or the newest frame, or end the session. Outdated prices may be dropped, an order may not:
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
//!         Err(error) => println!("not delivered: {error}"),
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
//! # Connections
//!
//! Suspended sessions count, because they cost memory. A resume is never refused by a limit: its session counts already. Nor is a
//! newcomer that replaces a session with its own ID, whose place it takes. A refusal has `Retry-After`, which rejoin's client obeys.
//!
//! ```
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # const MAX: usize = 1;
//! let server = Server::builder(connect).max_connections(MAX).max_connections_per_user(10).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # use rejoin_client::{Client, ConnectError, Event};
//! # let mut first = Client::builder(&url).connect().await?;
//! # let session = server.connections(rejoin_server::Audience::everyone()).pop().expect("the first");
//! # for _ in 0..3 {
//! #     let second = Client::builder(&url).connect().await;
//! #     assert!(matches!(second, Err(ConnectError::Refused(refusal)) if refusal.status == 503));
//! #     server.cut(session.id())?;
//! #     assert!(matches!(first.recv().await, Some(Event::Disconnected { .. })));
//! #     assert!(matches!(first.recv().await, Some(Event::Reconnected { resumed: true })));
//! # }
//! # first.close().await;
//! # session.closed().await;
//! # Client::builder(&url).connect().await?;
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Behind a proxy every peer has the proxy's address: [`Builder::client_address`] says where to find the client's. For any other
//! limit, [`ConnectFn`] may refuse with a status of its own; [`ConnectRequest::resumes`] distinguishes a session that counts already.

//! # Rates
//!
//! A rate limits what a client sends, in messages or in bytes per second, with a burst of one second's worth. By default the client
//! has to wait: the server does not read on, TCP stops the client, and nothing is lost. [`RatePolicy::Close`] ends the session of a
//! client that floods, [`RatePolicy::Answer`] refuses single messages with an error that an `ask` receives.
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, RatePolicy, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! let server = Server::builder(connect)
//!     .frame_rate(50) // of a connection
//!     .user_byte_rate(1 << 20) // of all devices of a user
//!     .rate_policy(RatePolicy::Delay)
//!     .max_inbound_bytes(256 << 20) // of the process
//!     .build()?;
//! # let _ = server;
//! # Ok::<(), rejoin_server::ConfigError>(())
//! ```
//!
//! The limiter is a token bucket of one word: the crate `governor` would cost more memory for each session, and further dependencies.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
