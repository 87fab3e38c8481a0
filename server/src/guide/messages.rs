//! # Sending
//!
//! [`Connection::send`] sends to one connection, [`Server::send`] to the connection with a given ID, and [`Server::broadcast`] to
//! many. They all queue the frame and return; the session's task writes it. Callbacks are async, and those of one connection
//! run one after the other. A handler can therefore await a database: the next message of its connection waits, and no other
//! connection does.
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
//!                 return me.close_with(1008, "say is {text}").expect("the close is valid");
//!             };
//!             let said = Said { from: me.id(), text: &say.text };
//!             let said = Frame::new("said", &said).expect("strings can be represented in JSON");
//!             // Fails only after a shutdown; an empty room is not an error.
//!             me.broadcast(&said).ok();
//!         }
//!         "who" => {
//!             let members = me.server().connections(me.room().expect("connect assigns one"));
//!             let ids: Vec<_> = members.iter().map(Connection::id).collect();
//!             let these = Frame::new("these", &ids).expect("strings can be represented in JSON");
//!             me.send(&these.with_re(message.id())).ok();
//!         }
//!         _ => me.close_with(1008, "no such event").expect("the close is valid"),
//!     }
//! }
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby").with_id("ada")) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).on_message(handle_message).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut ada = rejoin_client::Client::builder(url).connect().await?;
//! # ada.send(&Frame::new("say", &std::collections::BTreeMap::from([("text", "hello")]))?)?;
//! # let Some(rejoin_client::Event::Message(said)) = ada.recv().await else { panic!() };
//! # assert_eq!(said.event(), "said");
//! # let these = ada.ask(&Frame::event_only("who")).await?;
//! # assert_eq!(these.decode::<Vec<String>>()?, ["ada"]);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms and audiences
//!
//! A connection has at most one home room, which `ConnectFn` assigns, and joins any number of further rooms while it lives
//! ([`Connection::join`], [`Connection::leave`]). Memberships outlive sockets. A broadcast is for a room, given by its name, or for
//! any [`Audience`]: several rooms, a user's connections, single connections, or everyone, less exceptions. Each connection gets it
//! once.
//!
//! ```
//! use rejoin_server::{Audience, Connection, Frame, JoinError};
//!
//! async fn handle_message(me: Connection, message: Frame) {
//!     let Ok(room) = message.decode::<String>() else { return };
//!     match message.event() {
//!         "follow" => match me.join(&room).await {
//!             Ok(_) | Err(JoinError::Closed) => {}
//!             Err(error) => me.close_with(1008, error.to_string()).expect("the reason is short"),
//!         },
//!         // To all others in the room.
//!         "wave" if me.is_in(&room) => {
//!             me.server().broadcast(Audience::room(&room).except(&me), &message).ok();
//!         }
//!         _ => {}
//!     }
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::builder(connect).on_message(handle_message).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut ada = rejoin_client::Client::builder(url.as_str()).connect().await?;
//! # let mut bob = rejoin_client::Client::builder(url.as_str()).connect().await?;
//! # for client in [&ada, &bob] { client.send(&Frame::new("follow", "news")?)?; }
//! # while server.member_count("news") < 2 { tokio::task::yield_now().await; }
//! # ada.send(&Frame::new("wave", "news")?)?;
//! # let Some(rejoin_client::Event::Message(wave)) = bob.recv().await else { panic!() };
//! # assert_eq!(wave.event(), "wave");
//! # server.broadcast("news", &Frame::event_only("last"))?;
//! # let Some(rejoin_client::Event::Message(last)) = ada.recv().await else { panic!() };
//! # assert_eq!(last.event(), "last", "her own wave does not come back");
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A client in several rooms may have to tell them apart. With [`Builder::name_rooms`] a frame that is broadcast to a room names it:
//! [`Frame::room`], and `room` on the wire.
//!
//! All members of a room see its broadcasts in the same order. If one task broadcasts to one room and then to another, a member of both
//! gets the frames in that order. A [user](crate::Identity::with_user) may have several connections; [`Server::user`] lists, reaches
//! and ends them.
//!
//! # Handlers and routers
//!
//! Callbacks that share state can be the methods of one type: see [`Handler`], which has an example. For many events, use a
//! [`Router`] with [`Builder::router`] instead of `on_message`. It selects the handler by event, decodes its arguments, sends its
//! answer, and has one place for errors.
//!
//! A router's handlers can also take the [data](router::Data) that `ConnectFn` attached to the connection, and
//! [state](router::State) that all connections share: `async fn greet(Data(user): Data<User>, State(db): State<Db>)`.
//!
//! # Delivery
//!
//! A send succeeds when the frame is accepted: in session mode it will be delivered exactly once and in order while the session
//! lives, whatever happens to the socket. [`Connection::send_acked`] waits until the peer's session has received it. If you have
//! to know the result in the peer's application, ask it: see [questions](super::questions).
//!
//! # Earlier frames
//!
//! With [`Builder::history`] each room keeps its last frames for newcomers, bounded in number, bytes and age. A connection that joins
//! with [`rewind`](Join::rewind) gets exactly the frames that it requests, and then all later ones: no gap and no repeat, even while
//! others broadcast. [`Identity::with_rewind`] does that for the home room. An answer that a language model writes token by token can
//! be a room with a history: every tab, even one that is opened late, reads the whole answer once (the example `stream`).
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Reject};
//! use rejoin_server::{History, Identity, Server};
//!
//! async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//!     let room = request.query("room").ok_or_else(|| Reject::bad_request("`room` is missing"))?;
//!     Ok(Identity::new().with_room(room).with_rewind(50))
//! }
//!
//! let server = Server::builder(connect).history(History::new().frames(200)).build()?;
//! # let _ = server;
//! # Ok::<(), rejoin_server::ConfigError>(())
//! ```
//!
//! A resume is something else: it brings everything that the session has missed, and needs no history. A history ends with the
//! process, or with what the [store](super::restarts) has of it, and is no archive: keep what must outlive it in a database.
//!
//! # Values that are soon stale
//!
//! A cursor, a typing indicator or a price is not worth a replay. [`Frame::volatile`] marks such a frame: it keeps its place among
//! the others while a socket takes it, and is dropped otherwise, without a gap and without filling a buffer. [`Frame::latest`] also
//! gives it a key. While a receiver's socket is full, only the newest frame of each key waits, so a slow phone skips values instead of
//! falling behind:
//!
//! ```
//! use rejoin_server::{Audience, Connection, Frame};
//!
//! fn moved(player: &Connection, position: [f64; 2]) -> Result<(), Box<dyn std::error::Error>> {
//!     let frame = Frame::new("position", &(player.id(), position))?.latest(player.id());
//!     player.server().broadcast(Audience::room("arena").except(player), &frame)?;
//!     Ok(())
//! }
//! ```
//!
//! Clients send volatile frames in the same way. [`Counts::volatile_dropped`] counts those that were dropped.
//!
//! # Wire formats
//!
//! Each connection encodes its frames with its codec. The default is [`JsonCodec`]: text messages of the form
//! `{"id":…,"event":…,"payload":…}`. [`Builder::codec`] adds codecs. The first one added becomes the default, which plain clients
//! get; session clients choose theirs. MessagePack and Protobuf are available behind the features `msgpack` and `protobuf`.
//! Connections with different codecs can share a room: a broadcast is encoded once for each codec in it.
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
//! A [`Payload`] is a value and its format. [`Frame::new`] takes any serde type, and [`Frame::decode`] returns it, whichever
//! codecs are in between. JSON and MessagePack are converted into each other by a [table](crate::codecs#encodings); a receiver
//! whose format cannot represent a value gets a report of the gap. A prost message (`Frame::protobuf`, `Frame::decode_protobuf`)
//! and raw bytes ([`Payload::bytes`], [`Payload::to_bytes`]) are transmitted unchanged, in JSON as base64. Clients in other
//! languages can use the Protobuf schema `proto/rejoin/v1/frame.proto` of the crate `rejoin-codecs`.
//!
//! To add your own format, implement [`Codec`], a trait with three small methods, as the example `own_codec` does.
//! [`codecs::payloads`] checks and converts payloads for it, and [`codecs::conformance::check`] tests whether it has the
//! properties that rejoin relies on.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
