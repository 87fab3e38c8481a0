//! From a request to a session.
//!
//! [`listen`] accepts TCP connections and [`head`] reads a request; under hyper and axum, [`Service`] receives a request that has
//! been read. From there on both take the same path: [`upgrade`] checks the request (RFC 6455 §4.2.1), with [`host`] and
//! [`origin`], the application's [`ConnectFn`] decides on it, and [`admission`] registers a fresh session or finds the one to
//! resume.

pub(crate) mod listen;
pub use listen::ServeHandle;

mod head;

pub(crate) mod service;
pub use service::Service;

pub(crate) mod upgrade;

mod host;

pub(crate) mod origin;

pub(crate) mod connect;
pub use connect::{ConnectFn, ConnectRequest, Identity};

mod reject;
pub use reject::{OrReject, Reject};

pub(crate) mod admission;
