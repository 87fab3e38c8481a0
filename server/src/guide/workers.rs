//! # Work for any free client
//!
//! A task for each worker takes one job after the other, so a worker is free when its task waits. Nobody keeps a list of workers.
//!
//! ```
//! use std::sync::Arc;
//! use rejoin_server::router::{BoxError, Decoded, Router, State};
//! use rejoin_server::{AskError, Connection, Frame, Server};
//! use tokio::sync::{Mutex, mpsc, oneshot};
//!
//! type Job = (Frame, oneshot::Sender<Result<Frame, AskError>>);
//!
//! async fn work(worker: Connection, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
//!     let next = async || jobs.lock().await.recv().await;
//!     while let Some((question, mut asker)) = tokio::select! { job = next() => job, () = worker.closed() => None } {
//!         tokio::select! {
//!             answer = worker.ask(&question) => drop(asker.send(answer)), // `Err` if it was lost
//!             () = asker.closed() => {} // nobody waits any more: dropping the question cancels it
//!         }
//!     }
//! }
//!
//! /// A client's question, which any worker answers.
//! async fn square(State(jobs): State<mpsc::Sender<Job>>, Decoded(n): Decoded<u64>) -> Result<Frame, BoxError> {
//!     let (asker, answer) = oneshot::channel();
//!     jobs.send((Frame::new("square", &n)?, asker)).await?;
//!     match answer.await? {
//!         Err(AskError::Answer(error)) => Err(error.into()), // with the worker's own code
//!         answer => Ok(Frame::new("squared", &answer?.decode::<u64>()?)?),
//!     }
//! }
//!
//! # use rejoin_server::{ConnectRequest, Identity, Reject};
//! # async fn connect(request: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_room(request.query("role").unwrap_or_default())) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (jobs, queue) = mpsc::channel(64);
//! let queue = Arc::new(Mutex::new(queue));
//! let server = Server::builder(connect) // which puts workers into the room "workers"
//!     .router(Router::builder().with_state(jobs).on("square", square).build()?)
//!     .on_join(move |me, _| std::future::ready(drop(tokio::spawn(work(me, queue.clone())))))
//!     .build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let mut worker = rejoin_client::Client::builder(format!("{url}?role=workers")).connect().await?;
//! # let asker = rejoin_client::Client::builder(url).connect().await?;
//! # let answers = async {
//! #     let Some(rejoin_client::Event::Message(question)) = worker.recv().await else { panic!("no job") };
//! #     let n = question.decode::<u64>().unwrap();
//! #     worker.send(&Frame::new("squared", &(n * n)).unwrap().with_re(question.id())).unwrap();
//! # };
//! # let question = Frame::new("square", &7)?;
//! # let (answer, ()) = tokio::join!(asker.ask(&question), answers);
//! # assert_eq!(answer?.decode::<u64>()?, 49);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! A worker that is away keeps its job until it is back or the question times out; whether the job may then go to another one
//! depends on the job.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
