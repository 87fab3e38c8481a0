//! The fuzz targets: one function each, from bytes to a panic or none.
//!
//! `fuzz/` runs them under libFuzzer on nightly (`scripts/fuzz.sh`); `tests/tests/fuzz_corpus.rs` runs the saved inputs on any
//! Rust. Each target is deterministic, except for tokens and masks, which are random.

mod input;
pub use input::Input;

// --- bytes and frames
pub mod codec_json;

pub mod codec_msgpack;

pub mod codec_protobuf;

pub mod transcode;

pub mod ws;

mod codec;

// --- sessions
pub mod control;

pub mod session;

// --- sockets
pub mod upgrade;

pub mod server;

pub mod client;

mod stage;

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets; the corpus of each is in `fuzz/corpus/NAME`.
pub const TARGETS: &[Target] = &[
    ("codec_json", codec_json::run),
    ("codec_msgpack", codec_msgpack::run),
    ("codec_protobuf", codec_protobuf::run),
    ("transcode", transcode::run),
    ("ws", ws::run),
    ("control", control::run),
    ("session", session::run),
    ("upgrade", upgrade::run),
    ("server", server::run),
    ("client", client::run),
];
