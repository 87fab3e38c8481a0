//! Programs to copy, each of which a test runs. [Files](super::files), [workers](super::workers) and [Kubernetes](super::kubernetes) have
//! pages of their own.
//!
//! - [Several rooms per connection](#several-rooms-per-connection)
//! - [Logins that expire](#logins-that-expire)
//! - [Questions in both directions](#questions-in-both-directions)
//! - [A client that waits for several things](#a-client-that-waits-for-several-things)
//! - [Answers of a language model](#answers-of-a-language-model)
//!
//! # Several rooms per connection
//!
//! A client that shows several rooms at once needs one connection. It joins and leaves by questions, so that it knows the result, and
//! [`Builder::name_rooms`] makes each broadcast say its room. [`Builder::before_join`] is the one place that decides, for joins of
//! the server's own code as well.
//!
//! ```
//! use rejoin_server::router::{BoxError, Decoded, Router};
//! use rejoin_server::{Audience, Connection, ErrorAnswer, Frame, JoinError, Server};
//!
//! async fn join(me: Connection, Decoded(room): Decoded<String>) -> Result<Frame, BoxError> {
//!     match me.join(&room).rewind(20).await {
//!         Ok(_) => Ok(Frame::event_only("joined")),
//!         Err(JoinError::Refused) => Err(ErrorAnswer::new("forbidden", "not your room").into()),
//!         Err(error) => Err(error.into()),
//!     }
//! }
//!
//! async fn leave(me: Connection, Decoded(room): Decoded<String>) -> Result<Frame, BoxError> {
//!     me.leave(&room).await?;
//!     Ok(Frame::event_only("left"))
//! }
//!
//! /// To the others in one of the sender's rooms.
//! async fn say(me: Connection, Decoded((room, text)): Decoded<(String, String)>) -> Result<(), BoxError> {
//!     if me.is_in(&room) {
//!         me.server().broadcast(Audience::room(&room).except(&me), &Frame::new("said", &text)?)?;
//!     }
//!     Ok(())
//! }
//!
//! # use rejoin_client::{AskError, Client, Event};
//! # use rejoin_server::{ConnectRequest, History, Identity, Reject};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect)
//!     .router(Router::builder().on("join", join).on("leave", leave).on("say", say).build()?)
//!     .name_rooms(true)
//!     .history(History::new().frames(100)) // for `rewind`
//!     .before_join(|me, room| async move {
//!         let may = room != "staff" || me.user().is_some();
//!         if may { Ok(()) } else { Err(JoinError::Refused) }
//!     })
//!     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let ada = Client::builder(&url).connect().await?;
//! # let mut ben = Client::builder(&url).connect().await?;
//! # let refused = ada.ask(&Frame::new("join", "staff")?).await;
//! # assert!(matches!(refused, Err(AskError::Answer(error)) if error.code() == "forbidden"));
//! # for room in ["news", "games"] { ada.ask(&Frame::new("join", room)?).await?; }
//! # ada.send(&Frame::new("say", &("news", "early"))?)?;
//! # ada.send(&Frame::new("say", &("staff", "unheard"))?)?;
//! # ada.ask(&Frame::new("leave", "games")?).await?;
//! # for room in ["news", "games"] { ben.ask(&Frame::new("join", room)?).await?; }
//! # ada.send(&Frame::new("say", &("news", "late"))?)?;
//! # for expected in ["early", "late"] {
//! #     let Some(Event::Message(said)) = ben.recv().await else { panic!("the connection is open") };
//! #     assert_eq!((said.room(), said.decode::<String>()?.as_str()), ("news", expected));
//! # }
//! # assert_eq!(server.member_count("games"), 1);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Where clients may choose freely among the rooms that a function allows, [`Subscriptions`](router::Subscriptions) is this
//! ready-made, without the rewind.
//!
//! Memberships survive a lost socket. After [`Event::SessionLost`] the client has a fresh session, which is in the rooms that
//! `ConnectFn` assigned, and joins the others again.
//!
//! [`Event::SessionLost`]: https://docs.rs/rejoin-client/latest/rejoin_client/enum.Event.html
//!
//! # Logins that expire
//!
//! The client gives a source of tokens, which is asked before each dial. The server checks the token, takes the user from it, and
//! says until when it counts. Then the socket is closed with 3000, the client asks for a fresh token, and the session continues:
//! the application notices nothing but a short pause.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use rejoin_server::{ConnectRequest, Identity, OrReject as _, Reject, Server};
//!
//! struct Claims { user: String, expires: SystemTime }
//!
//! /// Verifies the signature: by your session store, or as the example `auth` does.
//! fn verify(token: &str) -> Result<Claims, std::io::Error> {
//!     // …
//! #   let user = token.strip_prefix("token-of-").ok_or(std::io::ErrorKind::PermissionDenied)?;
//! #   let user = user.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
//! #   Ok(Claims { user, expires: SystemTime::now() + Duration::from_secs(300) })
//! }
//!
//! async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//!     let token = request.token().ok_or_else(|| Reject::unauthorized("send a token"))?;
//!     let claims = verify(token).or_unauthorized()?;
//!     Ok(Identity::new().with_user(claims.user).expires_at(claims.expires))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # use std::sync::Arc;
//! # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! # use rejoin_client::{Client, ConnectError, Event};
//! # let asked = Arc::new(AtomicU32::new(0));
//! # let count = asked.clone();
//! # let fetch_token = move || { let n = count.fetch_add(1, Relaxed); async move { Ok(format!("token-of-ada{n}")) } };
//! // In the client: `fetch_token` asks the login for a token that lives for some minutes.
//! let mut client = Client::builder(&url).token(fetch_token).connect().await?;
//!
//! // After a change of the password: all of the user's clients come back with fresh tokens.
//! server.user("ada").reauthenticate();
//! # assert!(matches!(client.recv().await, Some(Event::Disconnected { .. })));
//! # assert!(matches!(client.recv().await, Some(Event::Reconnected { resumed: true })));
//! # assert_eq!(asked.load(Relaxed), 2);
//! # let stranger = Client::builder(&url).connect().await;
//! # assert!(matches!(stranger, Err(ConnectError::Refused(refusal)) if refusal.status == 401));
//! # server.user("ada").forbid();
//! # assert!(matches!(client.recv().await, Some(Event::Closed(_))));
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! For JSON Web Tokens (feature `jwt`) that function is ready-made: the claim `sub` becomes the user, and `exp` the time until which the
//! token counts. The example `jwt` shows a token expire.
//!
//! ```
//! # #[cfg(feature = "jwt")]
//! # fn main() -> Result<(), rejoin_server::ConfigError> {
//! use rejoin_server::Server;
//! use rejoin_server::auth::{Auth, Bearer, Jwt};
//!
//! let jwt = Jwt::hs256(b"a secret of 32 bytes or more, shared with the issuer");
//! let server = Server::builder(Auth::new().scheme(Bearer::new(jwt))).build()?;
//! # let _ = server; Ok(())
//! # }
//! # #[cfg(not(feature = "jwt"))]
//! # fn main() {}
//! ```
//!
//! [`User::forbid`] is for clients that may not stay: it ends their sessions with 3003, and rejoin's clients do not dial again. The
//! token travels as a subprotocol, which pages can set as well, and stays out of URLs. See [authentication](super::authentication).
//!
//! # Questions in both directions
//!
//! The server answers by what a router's handler returns; so does the client. Either side can ask at any time. An answer is not held
//! up by the messages before it, so a server may ask within a handler.
//!
//! ```
//! use std::time::Duration;
//! use rejoin_client::{Client, Event};
//! use rejoin_server::router::{BoxError, Decoded, Router};
//! use rejoin_server::{Connection, Frame, Server};
//!
//! /// The server: asks back before it deletes.
//! async fn delete(me: Connection, Decoded(file): Decoded<String>) -> Result<Frame, BoxError> {
//!     let sure = tokio::time::timeout(Duration::from_secs(60), me.ask(&Frame::new("sure?", &file)?));
//!     let sure = sure.await??.decode::<bool>()?;
//!     Ok(Frame::new("deleted", &sure)?)
//! }
//!
//! /// The client: answers with its own router.
//! fn answers() -> Result<rejoin_client::Router, rejoin_client::router::RouterError> {
//!     rejoin_client::Router::builder()
//!         .on("sure?", |Decoded(file): Decoded<String>| async move { Frame::new("answer", &(file != "diary")) })
//!         .build()
//! }
//!
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(connect).router(Router::builder().on("delete", delete).build()?).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! let mut client = Client::builder(url).connect().await?;
//! let (sender, router) = (client.sender(), answers()?);
//! let events = tokio::spawn({
//!     let sender = sender.clone();
//!     async move {
//!         while let Some(event) = client.recv().await {
//!             if let Event::Message(frame) = event {
//!                 router.handle(&sender, frame).await;
//!             }
//!         }
//!     }
//! });
//! let deleted = sender.ask(&Frame::new("delete", "notes")?).await?;
//! assert!(deleted.decode::<bool>()?);
//! # assert!(!sender.ask(&Frame::new("delete", "diary")?).await?.decode::<bool>()?);
//! # sender.close().await;
//! # events.await?;
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A dropped future cancels its question, so a timeout around it does, too. [`Builder::ask_timeout`] is the limit for all others. See
//! [questions](super::questions) for errors and streams of answers.
//!
//! # A client that waits for several things
//!
//! A program that also has a timer and a channel of its own waits for all of them in one `tokio::select!`.
//! `recv` is cancel safe: a branch that is not chosen takes no event.
//!
//! ```
//! use std::time::Duration;
//! use rejoin_client::{Client, Connection, Event, Frame};
//! use tokio::sync::mpsc;
//! use tokio::time::{MissedTickBehavior, interval};
//!
//! /// Prints what arrives, sends the lines of `typed`, and reports its position. Returns when `typed` or the connection ends.
//! async fn run(mut connection: Connection, mut typed: mpsc::Receiver<String>) -> Result<u64, Box<dyn std::error::Error>> {
//!     let mut beat = interval(Duration::from_millis(50));
//!     beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
//!     let mut position = 0;
//!     loop {
//!         tokio::select! {
//!             event = connection.recv() => match event {
//!                 Some(Event::Message(frame)) => println!("{}", frame.event()),
//!                 Some(Event::Closed(closed)) => return Err(closed.reason.to_string().into()),
//!                 Some(_) => {} // offline, online again, …
//!                 None => break,
//!             },
//!             line = typed.recv() => match line {
//!                 Some(line) => connection.send(&Frame::new("say", &line)?)?,
//!                 None => break,
//!             },
//!             _ = beat.tick() => {
//!                 position += 1;
//!                 // Volatile: while there is no socket, positions are dropped instead of queued.
//!                 connection.send(&Frame::new("position", &position)?.latest("position"))?;
//!             }
//!         }
//!     }
//!     Ok(connection.close().await.unacknowledged)
//! }
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (hear, mut heard) = mpsc::unbounded_channel();
//! # let server = Server::builder(connect)
//! #     .on_message(move |me, frame| { hear.send(frame.event().to_owned()).ok(); me.send(&frame).ok(); async {} })
//! #     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let connection = Client::builder(url).connect().await?;
//! # let (keys, typed) = mpsc::channel(1);
//! # let script = async move {
//! #     keys.send("hello".to_owned()).await.unwrap();
//! #     let (mut said, mut moved) = (0, 0);
//! #     while said < 1 || moved < 3 {
//! #         match heard.recv().await.unwrap().as_str() { "say" => said += 1, _ => moved += 1 }
//! #     }
//! # };
//! # let (unacknowledged, ()) = tokio::join!(run(connection, typed), script);
//! # assert_eq!(unacknowledged?, 0);
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Which calls fit into a branch:
//!
//! | call | if the branch is not chosen |
//! |---|---|
//! | `recv`, `closed` | nothing is lost |
//! | `send_wait` | the frame is not queued |
//! | `send_acked` | an accepted frame is delivered, only its receipt is not awaited |
//! | `ask` | the question is cancelled: start it in a task of its own, or keep the pinned future over the rounds of the loop |
//!
//! Whatever a branch's body awaits holds up the other branches. `send` does not wait; for anything longer spawn a task with a
//! `Sender`.
//!
//! # Answers of a language model
//!
//! A room per answer, with a history. The model's task speaks into the room whether anyone listens or not; a tab joins with a rewind,
//! and gets the whole answer once, whenever it comes. A tab that loses its socket resumes. A page that was loaded again has a fresh
//! session, and says which token it had last.
//!
//! ```
//! use std::time::Duration;
//! use rejoin_server::{ConnectRequest, Frame, History, Identity, Reject, Rewind, Server};
//! use futures_util::{Stream, StreamExt as _};
//!
//! /// `/?answer=7`, or `/?answer=7&after=token-9` to continue.
//! async fn connect(request: ConnectRequest) -> Result<Identity, Reject> {
//!     let answer = request.query("answer").ok_or_else(|| Reject::bad_request("`answer` is missing"))?;
//!     let all = Rewind::Last(usize::MAX);
//!     let rewind = request.query("after").map_or(all, |id| Rewind::After(id.as_str().into()));
//!     Ok(Identity::new().with_room(format!("answer-{answer}")).with_rewind(rewind))
//! }
//!
//! async fn speak(
//!     server: Server,
//!     room: String,
//!     tokens: impl Stream<Item = String>,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut tokens = std::pin::pin!(tokens.enumerate());
//!     while let Some((n, token)) = tokens.next().await {
//!         server.broadcast(&room, &Frame::new("token", &token)?.with_id(format!("token-{n}")))?;
//!     }
//!     server.broadcast(&room, &Frame::event_only("end"))?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let history = History::new().frames(4096).age(Duration::from_secs(600));
//! let server = Server::builder(connect)
//!     .history_of(move |room| if room.starts_with("answer-") { history } else { History::none() })
//!     .send_buffer(4096) // a newcomer's rewind has to fit
//!     .build()?;
//! # let url = format!("ws://{}/?answer=7", server.listen("127.0.0.1:0").await?.local_addr());
//! # let tokens = futures_util::stream::iter(["All ", "of ", "it."].map(String::from));
//! # speak(server.clone(), "answer-7".into(), tokens).await?;
//! # for (query, expected) in [("", "All of it."), ("&after=token-1", "it.")] {
//! #     let mut tab = rejoin_client::Client::builder(format!("{url}{query}")).connect().await?;
//! #     let mut text = String::new();
//! #     loop {
//! #         let Some(rejoin_client::Event::Message(frame)) = tab.recv().await else { panic!("no message") };
//! #         if frame.event() == "end" { break }
//! #         text += &frame.decode::<String>()?;
//! #     }
//! #     assert_eq!(text, expected);
//! # }
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! For one tab without newcomers, a [stream of answers](super::questions) is enough: it resumes with the session, and its asker can
//! cancel it. The example `stream` runs the whole of the above, with cuts.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
