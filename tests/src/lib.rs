//! What the scenarios, the test server and the tools of this workspace share.

pub mod harness;
pub mod testserver;
