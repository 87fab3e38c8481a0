//! # A program that restarts
//!
//! [`Connection::save`] leaves the session without ending it, and returns it as a value for a file. The next run of the program
//! continues with it by [`Client::resume`], within the server's resume window: frames that the server has not acknowledged and
//! messages that the application has not taken are a part of the session. Nothing is lost or repeated.
//!
//! ```
//! use std::fs::{self, OpenOptions};
//! use std::{error::Error, io::Write as _, path::Path};
//!
//! use rejoin_client::{Client, ConnectError, Connection, Event, Frame};
//!
//! /// Continues the session of the last run, or begins one.
//! async fn start(client: &Client, file: &Path) -> Result<Connection, Box<dyn Error>> {
//!     let Ok(text) = fs::read(file) else { return Ok(client.connect().await?) };
//!     let connection = match client.resume(&serde_json::from_slice(&text)?).await {
//!         // Of a version of the program with other options.
//!         Err(ConnectError::Saved(error)) => {
//!             eprintln!("the saved session is of no use: {error}");
//!             client.connect().await?
//!         }
//!         // Without a network the file stays: the next attempt may be in time.
//!         resumed => resumed?,
//!     };
//!     fs::remove_file(file)?; // it can be resumed once
//!     Ok(connection)
//! }
//!
//! /// Leaves the session to the next run. The file is as secret as a password.
//! fn stop(connection: Connection, file: &Path) -> Result<(), Box<dyn Error>> {
//!     let Some(saved) = connection.save() else { return Ok(()) }; // it has ended
//!     let mut options = OpenOptions::new();
//!     options.write(true).create(true).truncate(true);
//!     #[cfg(unix)]
//!     std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
//!     Ok(options.open(file)?.write_all(&serde_json::to_vec(&saved)?)?)
//! }
//!
//! # use rejoin_server::{ConnectRequest, Identity, Reject, Server};
//! # async fn anyone(_: ConnectRequest) -> Result<Identity, Reject> { Ok(Identity::new()) }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let server = Server::builder(anyone).on_message(|me, frame| async move { me.send(&frame).unwrap() }).build()?;
//! # let client = Client::builder(format!("ws://{}/", server.listen("127.0.0.1:0").await?.local_addr())).build()?;
//! # let file = std::env::temp_dir().join(format!("rejoin-session-{}", std::process::id()));
//! # let file = file.as_path();
//! let connection = start(&client, file).await?;
//! connection.send(&Frame::new("chat.message", "sent before the restart")?)?;
//! stop(connection, file)?;
//!
//! // The next run.
//! let mut connection = start(&client, file).await?;
//! # assert!(!file.exists());
//! loop {
//!     match connection.recv().await {
//!         Some(Event::Message(frame)) => {
//!             println!("{}", frame.decode::<String>()?);
//! #           assert_eq!(frame.decode::<String>()?, "sent before the restart");
//!             break;
//!         }
//!         // The window has passed, or the server has lost the session.
//!         Some(Event::SessionLost { unacknowledged, .. }) => println!("{} frames may be lost", unacknowledged.len()),
//!         Some(_) => {}
//!         None => break,
//!     }
//! }
//! # connection.close().await;
//! # server.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! The first events of a resumed connection are what the last run has not taken, then [`Event::Disconnected`] and
//! [`Event::Reconnected`]. Open questions and receipts ([`Connection::send_acked`]) end with the save; the frames themselves arrive.
//! A program that reads from a terminal reads in a thread of its own, as the example `client` does: such a read cannot be cancelled,
//! and would hold up the end of the program.

#[allow(unused_imports, reason = "what the text links to")]
use crate::*;
