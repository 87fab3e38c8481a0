//! Micro-benchmarks, in `benches/`. `cargo bench -p rejoin-benches` runs them.
