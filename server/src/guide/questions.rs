//! # Answering
//!
//! A question is a frame with an id; its answer refers to that id. A [`Router`] sends what the handler returns as the answer:
//!
//! ```
//! use rejoin_server::router::{BoxError, Decoded, Router, Streamed};
//! use rejoin_server::{ErrorAnswer, Frame};
//! use futures_util::{Stream, stream};
//! # use std::time::Duration;
//! # use futures_util::StreamExt;
//! # use rejoin_client::{AskError, Client};
//! # use rejoin_server::{ConnectRequest, Connection, Identity, PayloadError, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//!
//! // One answer, or an error that the handler chooses.
//! async fn divide(Decoded((a, b)): Decoded<(i64, i64)>) -> Result<Frame, BoxError> {
//!     if b == 0 {
//!         return Err(ErrorAnswer::new("division_by_zero", "nothing can be divided by zero").into());
//!     }
//!     Ok(Frame::new("quotient", &(a / b))?)
//! }
//!
//! // Several answers.
//! async fn count(Decoded(n): Decoded<u32>) -> Streamed<impl Stream<Item = Result<Frame, PayloadError>>> {
//!     Streamed(stream::iter((1..=n).map(|i| Frame::new("item", &i))))
//! }
//!
//! // A question to the client, inside a handler.
//! async fn order(client: Connection) -> Result<Frame, BoxError> {
//!     let seat = client.ask(&Frame::event_only("which.seat")).await?.decode::<u32>()?;
//!     Ok(Frame::new("ordered", &seat)?)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::builder().on("divide", divide).on("count", count).on("order", order).build()?;
//! # let server = Server::builder(connect).router(router).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut client = Client::builder(url).connect().await?;
//! # let error = client.ask(&Frame::new("divide", &(1, 0))?).await;
//! # assert!(matches!(error, Err(AskError::Answer(error)) if error.code() == "division_by_zero"));
//! # let items: Vec<_> = client.ask_stream(&Frame::new("count", &3)?).map(|item| item.unwrap().decode::<u32>().unwrap()).collect().await;
//! # assert_eq!(items, [1, 2, 3]);
//! # let sender = client.sender();
//! # let ordered = tokio::spawn(async move { sender.ask(&Frame::event_only("order")).await });
//! # let Some(rejoin_client::Event::Message(question)) = client.recv().await else { panic!("no question") };
//! # client.send(&Frame::new("seat", &7)?.with_re(question.id()))?;
//! # assert_eq!(ordered.await??.decode::<u32>()?, 7);
//! # client.close().await;
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A frame without an id is no question: what its handler returns is sent as an ordinary message. Without a router, answer with
//! [`Frame::with_re`] and the id of the question.
//!
//! # Errors
//!
//! If a handler fails, the answer to a question is an [`ErrorAnswer`] with a code and a message. The handler's own `ErrorAnswer`
//! is sent as it is. The text of any other error stays on the server, where [`on_error`](router::RouterBuilder::on_error) gets
//! it:
//!
//! | failure | code |
//! |---|---|
//! | no handler for the event | `unknown_event` |
//! | the payload is missing or has another type | `bad_request` |
//! | a layer refused the frame | `refused` |
//! | any other error, a missing state, a panic that [`CatchPanic`](router::CatchPanic) caught | `internal` |
//! | a stream without items | `no_answer` |
//!
//! # Subscriptions
//!
//! [`Subscriptions`](router::Subscriptions) is a ready-made part of a router: clients join and leave rooms by themselves, with the
//! questions `subscribe` and `unsubscribe`, and a function of yours decides on each room. It is a required argument, so that no
//! room is open by mistake. A part is a set of handlers ([`Part`](router::Part)); write your own for what several routers share.
//!
//! ```
//! use rejoin_server::router::Subscriptions;
//! use rejoin_server::{Connection, ErrorAnswer, Router};
//! # use std::collections::HashMap;
//! # use std::time::Duration;
//! # use rejoin_client::{Client, Frame};
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room("lobby")) }
//!
//! async fn may_join(_: Connection, room: String) -> Result<(), ErrorAnswer> {
//!     match room.as_str() {
//!         "news" | "weather" => Ok(()),
//!         _ => Err(ErrorAnswer::new("forbidden", "not for you")),
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::builder().part(Subscriptions::new(may_join)).build()?;
//! let server = Server::builder(connect).router(router).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! // A client.
//! let client = Client::builder(url).connect().await?;
//! let news = HashMap::from([("room", "news")]);
//! let answer = client.ask(&Frame::new("subscribe", &news)?).await?;
//! # assert_eq!(answer.payload().unwrap().data(), br#"{"rooms":["lobby","news"]}"#.as_slice());
//! # client.close().await;
//! # server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Asking
//!
//! [`Connection::ask`] sends a question and waits for the answer; [`Connection::ask_stream`] returns a stream of answers. Answers
//! do not wait behind the messages of their connection, so a handler can ask the client whose message it handles, as `order` does.
//! The messages of that connection wait meanwhile, and at most 64 frames or 1 MiB are read ahead of them. If handlers on both
//! sides ask each other, each waits for the other until a timeout: let one of the sides ask in a task of its own.
//!
//! A stream of answers that is kept and not read holds up its connection: once 64 answers or 1 MiB wait, the peer waits with
//! everything else, answers to other questions included. Take the answers, or drop the stream before the next question.
//!
//! In session mode a question is answered exactly once, whatever happens to the socket, or the call returns an [`AskError`]: the
//! session ended, or the [timeout](Builder::ask_timeout) has passed. Plain mode loses questions and answers with their socket.
//!
//! # Cancellation
//!
//! Dropping the future or the stream of a question cancels it, and so does its timeout. The peer is notified: its router then
//! sends no answer, and drops a stream of answers. A handler that wants to stop early takes [`Cancelled`] as an argument and
//! waits for it beside its work. An answer that crosses the cancellation is counted ([`Counts::stray_answers`]) and dropped.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
