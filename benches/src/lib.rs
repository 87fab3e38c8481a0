//! What the benchmarks share: a server with many clients, none of which costs more than a few bytes.
//!
//! `cargo bench -p rejoin-benches` runs the micro-benchmarks; README.md says what they measure.

mod peer;
pub use peer::{Peer, Tally};

mod crowd;
pub use crowd::{Crowd, Mode, message};

mod memory;
pub use memory::resident;
