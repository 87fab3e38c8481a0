//! Observing the server: [`metrics`] are an application's hooks, called through [`hooks`]; [`reporter`] reports the life of one session
//! to them and to the log; [`stats`] is a snapshot of the whole server; [`errors`] are the errors that a server reports; [`health`]
//! answers a load balancer.

pub(crate) mod metrics;
pub use metrics::{CallbackKind, Metrics, ResumeRefused};

pub(crate) mod hooks;

pub(crate) mod errors;
pub use errors::ErrorKind;

pub(crate) mod reporter;

#[cfg(feature = "metrics")]
mod facade;
#[cfg(feature = "metrics")]
pub use facade::FacadeMetrics;

mod debug;
pub use debug::{CallbackTimes, DebugMetrics, MetricsSnapshot};

pub(crate) mod stats;
pub use stats::Stats;

pub(crate) mod health;

pub(crate) mod throttle;
