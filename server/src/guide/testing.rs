//! # Testing
//!
//! Tests need neither a port nor any waiting: an in-memory pipe replaces the network, and with tokio's paused clock a window of
//! 30 s passes instantly. Here a client stays away for too long:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
//! use rejoin_client::{Client, Event};
//! use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//!
//! async fn connect(_: ConnectRequest) -> Result<Identity, Reject> {
//!     Ok(Identity::new().with_room("lobby").with_id("ada"))
//! }
//!
//! // In your own test: #[tokio::test(start_paused = true)]
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder(connect).build()?;
//!     let online = Arc::new(AtomicBool::new(true));
//!
//!     let (dialled, network) = (server.clone(), online.clone());
//!     let mut client = Client::builder("ws://in.memory/").connector(move || {
//!         let (server, up) = (dialled.clone(), network.load(Relaxed));
//!         async move {
//!             if !up {
//!                 return Err(std::io::ErrorKind::NetworkUnreachable.into());
//!             }
//!             let (ours, theirs) = tokio::io::duplex(64 * 1024);
//!             tokio::spawn(async move { server.serve_connection(theirs).await });
//!             Ok(ours)
//!         }
//!     })
//!     .connect()
//!     .await?;
//!
//!     online.store(false, Relaxed);
//!     server.cut("ada")?;
//!     assert!(matches!(client.recv().await, Some(Event::Disconnected { .. })));
//!     tokio::time::sleep(Duration::from_secs(31)).await; // longer than the window
//!     assert!(server.connections("lobby").is_empty());
//!     online.store(true, Relaxed);
//!     assert!(matches!(client.recv().await, Some(Event::SessionLost { .. })));
//!     assert!(matches!(client.recv().await, Some(Event::Reconnected { resumed: false })));
//!     Ok(())
//! }
//! ```
//!
//! The repository's `tests` contain `rejoin-testserver`, a server with a control port (kick, cut, shutdown, restart), for testing
//! clients in other languages.

#[allow(unused_imports, reason = "the text links to them")]
use crate::*;
