//! The tool, run as a user runs it, against servers in this process.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod errors;
mod support;
mod works;
