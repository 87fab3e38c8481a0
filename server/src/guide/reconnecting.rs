//! # Reconnecting
//!
//! When a socket is lost, the session waits for the [resume window](Builder::resume_window), 30 s, and buffers the frames that
//! are sent to it. The client returns with the session's token, both sides compare their counts, and missing frames are sent
//! again, in order, before any new frame. The application does not have to do anything. Two callbacks report the loss and the
//! return, for example to notify other users.
//!
//! # Presence
//!
//! Track presence by the session's [number](Connection::number), because a new session can [replace](DuplicateId) one with the
//! same ID:
//!
//! ```
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # use std::time::Duration;
//! use rejoin_server::{Connection, Frame, Server};
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! /// The users that are present, each with the number of its session.
//! #[derive(Clone, Default)]
//! struct Presence(Arc<Mutex<HashMap<String, u64>>>);
//!
//! impl Presence {
//!     /// Returns whether the user was absent.
//!     fn enter(&self, user: &Connection) -> bool {
//!         self.0.lock().unwrap().insert(user.id().to_owned(), user.number()).is_none()
//!     }
//!
//!     /// Returns whether the user is absent now: a newer session may have the ID.
//!     fn leave(&self, user: &Connection) -> bool {
//!         let mut here = self.0.lock().unwrap();
//!         let is_last = here.get(user.id()) == Some(&user.number());
//!         is_last && here.remove(user.id()).is_some()
//!     }
//! }
//!
//! fn announce(user: &Connection, event: &str) {
//!     let frame = Frame::new(event, user.id()).expect("strings can be represented in JSON");
//!     user.broadcast(&frame).ok();
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
//!     .resume_window(Duration::from_secs(120)) // some tunnels take longer than 30 s
//!     .on_connect(move |me| {
//!         if enters.enter(&me) { announce(&me, "joined") }
//!         async {}
//!     })
//!     .on_transport_drop(|me, _reason| async move { announce(&me, "away") })
//!     .on_transport_restore(|me| async move { announce(&me, "back") })
//!     .on_disconnect(move |me, _reason| {
//!         if leaves.leave(&me) { announce(&me, "left") }
//!         async {}
//!     })
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
//! # assert!(presence.0.lock().unwrap().contains_key("ada"), "the second session is present");
//! # drop((ada, reloaded));
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! When a session replaces another, `on_disconnect` of the old one returns before `on_connect` of the new one is called. If it
//! takes longer than a second, the new session does not wait for it: the old session then leaves after the new one has joined,
//! and the number tells them apart.
//!
//! # Dead sockets
//!
//! A socket can die without any notice. The server detects that by the silence ([`Builder::heartbeat`], 30 s), or earlier when
//! the client opens its next socket, which takes over the session at once. To test how your application reacts, cut sockets with
//! [`Server::cut`].
//!
//! [`DuplicateId`] sets what happens when a client without a token claims a connection ID that is in use.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
