//! Shared code of the benchmarks: a server with many clients that cost a few bytes each.
//!
//! `cargo bench -p rejoin-benches` runs the micro-benchmarks; README.md describes what they measure.

mod peer;
pub use peer::{Peer, Tally};

mod crowd;
pub use crowd::{Crowd, Mode, message};

mod memory;
pub use memory::resident;
