//! The limits of a server on its clients, in addition to the limits on buffers and times.
//!
//! [`options`] are what the application sets, and [`limit`] names each. [`places`] counts the sessions of the server and of each
//! [address](addresses). [`reading`] has what clients may send per [`rate`], and [`throttled`] transports wait for it.

pub(crate) mod limit;
pub use limit::Limit;

pub(crate) mod options;

pub(crate) mod places;

mod addresses;

pub(crate) mod rate;
pub use rate::RatePolicy;

pub(crate) mod reading;

pub(crate) mod throttled;
