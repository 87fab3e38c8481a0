//! # Who is in a room
//!
//! [`Server::members`] lists the members of a room: ID, user, whether they are attached, and a small value that each of them shows to
//! the others ([`Identity::with_presence`], [`Connection::set_presence`]), such as a name or "is typing". Four callbacks report the
//! changes: [`on_join`](Builder::on_join) and [`on_leave`](Builder::on_leave) for each room, [`on_away`](Builder::on_away) and
//! [`on_back`](Builder::on_back) for the connection.
//!
//! The resume window suppresses short absences: a client in a tunnel is *away*, not gone. It stays a member, and the others see it
//! leave once, when it has left the room or its window has passed. A socket that is replaced before its loss was noticed causes no
//! absence.
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # use std::time::Duration;
//! use rejoin_server::{Connection, Frame, Payload, Server};
//!
//! # async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//! #     let id = request.query("id").unwrap_or_default();
//! #     let name = Payload::json(&id).or_bad_request()?;
//! #     Ok(Identity::new().with_room("lobby").with_id(id).with_presence(name))
//! # }
//! # trait OrBadRequest<T> { fn or_bad_request(self) -> Result<T, Reject>; }
//! # impl<T, E: std::fmt::Display> OrBadRequest<T> for Result<T, E> {
//! #     fn or_bad_request(self) -> Result<T, Reject> { self.map_err(|error| Reject::bad_request(error.to_string())) }
//! # }
//! fn announce(me: &Connection, room: &str, event: &'static str) {
//!     if let Some(name) = me.presence() {
//!         // Fails only after a shutdown.
//!         me.server().broadcast(room, &Frame::event_only(event).with_payload(name)).ok();
//!     }
//! }
//!
//! fn announce_everywhere(me: &Connection, event: &'static str) {
//!     me.rooms().iter().for_each(|room| announce(me, room, event));
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect)
//!     .resume_window(Duration::from_secs(120)) // some tunnels take longer than 30 s
//!     .on_join(|me, room| async move { announce(&me, &room, "joined") })
//!     .on_away(|me| async move { announce_everywhere(&me, "away") })
//!     .on_back(|me| async move { announce_everywhere(&me, "back") })
//!     .on_leave(|me, room| async move { announce(&me, &room, "left") })
//!     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let dial = |id: &str| rejoin_client::Client::builder(format!("{url}?id={id}")).connect();
//! # let mut ben = dial("ben").await?;
//! # let ada = dial("ada").await?;
//! # let (mut reloaded, mut heard) = (None, Vec::new());
//! # while heard.len() < 6 {
//! #     let Some(rejoin_client::Event::Message(frame)) = ben.recv().await else { panic!("the connection is open") };
//! #     heard.push(format!("{} {}", frame.event(), frame.decode::<String>()?));
//! #     match heard.len() {
//! #         2 => server.cut("ada")?,
//! #         4 => reloaded = Some(dial("ada").await?),
//! #         _ => {}
//! #     }
//! # }
//! # let expected = ["joined ben", "joined ada", "away ada", "back ada", "left ada", "joined ada"];
//! # assert_eq!(heard, expected);
//! # assert_eq!(server.members("lobby").len(), 2, "the second session is present");
//! # drop((ada, reloaded));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The order
//!
//! The callbacks of one connection come one after the other ([`Builder`'s documentation](Builder#callbacks) has the whole order):
//! `on_join` follows `on_connect`, and `on_leave` precedes `on_disconnect`. A join or a leave that another task makes is
//! reported before the next message, and a suspended session gets a task for it. The callbacks of different connections have no
//! order among each other: a list of your own that two of them change needs a lock. A newcomer that takes [`Server::members`] in
//! its `on_join` may find a member whose own `on_join` has not been called yet; a client that keeps its members by ID, and adds
//! the same one twice without harm, needs no lock on the server.
//!
//! # Users with several connections
//!
//! A user is there while any connection is: [`User::is_online`]. To announce users instead of connections, announce the first
//! join and the last leave: `me.server().members(&room)` lists the user's other connections in the room.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
