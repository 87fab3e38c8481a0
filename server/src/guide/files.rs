//! # Files in chunks
//!
//! A message is limited ([`Builder::max_message_size`], 64 KiB), and a large one keeps others waiting. Send a file in chunks:
//! [`send_wait`](Connection::send_wait) waits while the send buffer is full, so memory stays bounded and the network sets the pace.
//! Chunks arrive once and in order while the session lives, over any number of sockets, so they need no numbers. The server
//! announces its limit by refusing the first question, and holds the client to what it declared.
//!
//! ```
//! use std::sync::Mutex;
//! use rejoin_client::Sender;
//! use rejoin_server::router::{BoxError, Data, Decoded, Router};
//! use rejoin_server::{Connection, ErrorAnswer, Frame, Payload};
//!
//! const LIMIT: usize = 10 << 20;
//! const CHUNK: usize = 32 << 10; // as base64 in JSON 43 KiB
//!
//! /// What a connection uploads at the moment: the data of its `Identity`. A server with large files writes chunks to a disk.
//! #[derive(Default)]
//! struct Upload(Mutex<(usize, Vec<u8>)>);
//!
//! async fn begin(Data(upload): Data<Upload>, Decoded(size): Decoded<usize>) -> Result<Frame, BoxError> {
//!     if size > LIMIT {
//!         return Err(ErrorAnswer::new("too_big", format!("a file has at most {LIMIT} bytes")).into());
//!     }
//!     *upload.0.lock().expect("no holder panics") = (size, Vec::new());
//!     Ok(Frame::event_only("go"))
//! }
//!
//! async fn chunk(me: Connection, Data(upload): Data<Upload>, frame: Frame) -> Result<(), BoxError> {
//!     let chunk = frame.payload().map(Payload::to_bytes).transpose()?.unwrap_or_default();
//!     let (size, ref mut file) = *upload.0.lock().expect("no holder panics");
//!     if file.len() + chunk.len() > size {
//!         me.close_with(1009, "more than was declared")?;
//!     } else {
//!         file.extend_from_slice(&chunk);
//!     }
//!     Ok(())
//! }
//!
//! async fn end(Data(upload): Data<Upload>) -> Result<Frame, BoxError> {
//!     let (size, file) = std::mem::take(&mut *upload.0.lock().expect("no holder panics"));
//!     if file.len() < size {
//!         return Err(ErrorAnswer::new("incomplete", "chunks are missing").into());
//!     }
//!     // Store it here: the answer says that the file is stored.
//!     Ok(Frame::new("stored", &file.len())?)
//! }
//!
//! /// The client. After [`AskError::SessionLost`](rejoin_client::AskError::SessionLost) it begins anew.
//! async fn upload(server: &Sender, file: &[u8]) -> Result<usize, BoxError> {
//!     server.ask(&Frame::new("file.begin", &file.len())?).await?;
//!     for chunk in file.chunks(CHUNK) {
//!         let chunk = Payload::bytes(chunk.to_vec());
//!         server.send_wait(&Frame::event_only("file.chunk").with_payload(chunk)).await?;
//!     }
//!     Ok(server.ask(&Frame::event_only("file.end")).await?.decode()?)
//! }
//! # use rejoin_client::{AskError, Client};
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn connect(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new().with_id("ada").with_data(Upload::default())) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let router = Router::builder().on("file.begin", begin).on("file.chunk", chunk).on("file.end", end).build()?;
//! # let server = Server::builder(connect).router(router).build()?;
//! # let url = format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr());
//! # let client = Client::builder(url).send_buffer_bytes(200_000).connect().await?;
//! # let sender = client.sender();
//! # let refused = upload(&sender, &vec![0; LIMIT + 1]).await.unwrap_err();
//! # assert!(matches!(refused.downcast_ref(), Some(AskError::Answer(error)) if error.code() == "too_big"));
//! # let file = vec![7; 3_000_000];
//! # let (stored, ()) = tokio::join!(upload(&sender, &file), async {
//! #     tokio::task::yield_now().await;
//! #     server.cut("ada").ok();
//! # });
//! # assert_eq!(stored?, file.len());
//! # sender.ask(&Frame::new("file.begin", &1)?).await?;
//! # sender.send(&Frame::event_only("file.chunk").with_payload(Payload::bytes(vec![0; 2])))?;
//! # let ended = sender.closed().await;
//! # assert!(ended.reason.to_string().contains("1009"), "{}", ended.reason);
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! [`send_acked`](Connection::send_acked) instead of `send_wait` has one chunk on the way at a time: slower, but a progress bar that
//! follows it shows what the other side has received. The answer to `file.end` alone says that the file is stored.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
