//! The path from an HTTP request to a session.
//!
//! [`listen`] accepts TCP connections and [`head`] reads a request; under hyper and axum, the [`service`] receives a request that
//! has been read. From there on both take the same path, through [`decide`]: [`upgrade`] checks the request (RFC 6455 §4.2.1),
//! with [`host`], [`offer`] and [`origin`], the application's [`ConnectFn`] decides on it, and [`admission`] registers a fresh
//! session or finds the one to resume. The client gets an [`answer`].

pub(crate) mod listen;
pub use listen::ServeHandle;

pub(crate) mod accepting;

pub(crate) mod handshake;

mod nodelay;

#[cfg(unix)]
pub(crate) mod unix;
#[cfg(unix)]
pub use unix::UnixServeHandle;

#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "tls")]
pub use tls::Tls;

mod head;

#[cfg(feature = "hyper")]
pub(crate) mod service;
#[cfg(feature = "hyper")]
pub use service::Service;

#[cfg(feature = "hyper")]
mod body;
#[cfg(feature = "hyper")]
pub use body::ResponseBody;

#[cfg(feature = "axum")]
mod extractor;
#[cfg(feature = "axum")]
pub use extractor::Upgrade;

#[cfg(feature = "hyper")]
mod upgraded;

mod decide;

pub(crate) mod logged_request;

mod within;

mod upgrade;

pub(crate) mod headers;

mod host;

pub(crate) mod offer;

pub(crate) mod auth_token;

pub(crate) mod origin;

pub(crate) mod connect;
pub use connect::{ConnectFn, ConnectRequest, Identity};

mod expiry;

mod identity_extras;

pub(crate) mod reject;
pub use reject::{InvalidReject, OrReject, Reject};

pub(crate) mod admission;

mod entry;

pub(crate) mod answer;
