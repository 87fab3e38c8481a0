//! Keeps the sessions of a rejoin server in a directory, so that they survive its process.
//!
//! [`LocalStore`] is a [`Store`](rejoin_store::Store) on [fjall](https://docs.rs/fjall), a log-structured merge tree with a journal.
//! Acknowledged commits survive `kill -9`; with [`Sync::Data`] also a loss of power.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let directory = tempfile::tempdir().unwrap();
//! # let directory = directory.path().join("data");
//! use rejoin_store_local::LocalStore;
//!
//! let store = LocalStore::open(&directory)?;
//! // … Server::builder(connect).store(store.clone()) …
//! store.close().await;
//! # Ok::<_, rejoin_store_local::LocalError>(()) }).unwrap();
//! ```

mod builder;
mod clock;
mod error;
mod files;
#[cfg(feature = "inspect")]
pub mod inspect;
mod keys;
mod late;
mod leases;
mod open;
mod options;
mod reader;
mod rows;
mod store;
mod values;
mod writer;

pub use builder::LocalStoreBuilder;
pub use error::LocalError;
pub use options::Sync;
pub use store::LocalStore;
