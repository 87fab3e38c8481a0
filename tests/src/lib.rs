//! Code shared by the scenarios, the test server and the tools of this workspace.

pub mod fuzzing;
pub mod harness;
pub mod kills;
pub mod network;
pub mod protocol;
pub mod simulation;
pub mod testserver;

/// The README's examples compile; `tests/examples.rs` runs its two programs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The tour's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/tour.md")]
struct Tour;

/// The examples for users of wspulse compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-wspulse.md")]
struct FromWspulse;

/// The examples for users of wshub compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-wshub.md")]
struct FromWshub;

/// The examples for users of go-ws compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-go-ws.md")]
struct FromGoWs;

/// The examples for users of Socket.IO compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-socket-io.md")]
struct FromSocketIo;
