//! The application's functions that supply URL, headers and credentials for each dial, with their types erased.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;

use crate::stream::BoxIo;

/// A function that the client calls for each dial.
type DialSource<T> = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<T>> + Send>> + Send + Sync>;

/// The application's source of streams.
pub(crate) type Connector = DialSource<BoxIo>;

/// The application's source of headers.
pub(crate) type DialHeaders = DialSource<HeaderMap>;

/// The application's source of URLs.
pub(crate) type DialUrl = DialSource<String>;

/// The application's source of access tokens.
pub(crate) type DialToken = DialSource<String>;
