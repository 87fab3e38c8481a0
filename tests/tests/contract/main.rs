//! The promises of server and client, written once and performed over each medium: in memory with paused time, and over TCP on the
//! loopback interface. Each scenario runs alone, and must leave neither a task nor a socket behind.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[macro_use]
mod setting;
mod bare;
mod stage;

mod backpressure;
mod callbacks;
mod client;
mod identity;
mod left_behind;
mod lifecycle;
mod listener;
mod liveness;
mod order;
mod resume;
mod rooms;
