//! # Limits and back pressure
//!
//! Every queue is bounded in frames and in bytes, and a slow client only hurts itself.
//!
//! | limit | default | when it is exceeded |
//! |---|---|---|
//! | a message from a client ([`Builder::max_message_size`]) | 64 KiB | the session ends with 1009 |
//! | a message to a session client, by its offer `rejoin.max.N` | 1 MiB from `rejoin-client` | `send` fails with [`SendError::TooBig`]; a broadcast leaves a gap for this member |
//! | the send buffer of a connection ([`Builder::send_buffer`], [`Builder::send_buffer_bytes`]) | 256 frames, 1 MiB | `send` fails, `send_wait` waits, a broadcast evicts the oldest frame, and the peer gets a report; or as [configured](Builder::overflow) |
//! | the send buffers of all connections together ([`Builder::max_retained_bytes`]) | 1 GiB | suspended sessions end, the oldest first; if none is left, buffers count as full |
//! | messages read ahead of a handler | 64 frames, 1 MiB; in session mode up to as much again, unacknowledged, in the client's send buffer | the client has to wait |
//! | a socket that accepts no pending bytes, or less than 1 KiB/s on average ([`Builder::write_timeout`]) | 10 s | the socket counts as lost |
//! | a request's head, and the time to receive it ([`Builder::handshake_timeout`]) | 16 KiB, 64 headers, 10 s | 431, or the connection is closed |
//! | the number of connections | none | up to the application: see [below](#the-number-of-connections) |
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
//! # The number of connections
//!
//! [`ConnectFn`] can limit the number of connections: an identity's data is dropped after its session has ended. A resume must
//! not be refused, because its session already holds a permit; [`ConnectRequest::resumes`] distinguishes it from a new session.
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
//!             return Ok(identity); // the session has a permit already
//!         }
//!         // When it reconnects, rejoin's client tries again after a 503, with backoff.
//!         let full = |_| Reject::from_static(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
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

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
