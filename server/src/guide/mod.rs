//! The guide: how to build, run and test a server. All examples compile, and nearly all of them run as tests.
//!
//! 1. [Getting started](getting_started): the smallest server, clients, and mounting it in axum
//! 2. [Authentication](authentication): who may connect, with which ID, in which room
//! 3. [Messages](messages): sending, broadcasting, handlers, routers, wire formats
//! 4. [Questions](questions): answers, errors, streams of answers, cancellation, in both directions
//! 5. [Reconnecting](reconnecting): what happens when a socket is lost
//! 6. [Presence](presence): who is in a room, and who is away
//! 7. [Hooks](hooks): what may be decided or learned at each step
//! 8. [Limits](limits): bounded queues, back pressure, overflow policies, connection limits
//! 9. [Deployment](deployment): shutdown, proxies, health checks, TLS, operating system settings, logs
//! 10. [Kubernetes](kubernetes): probes, drain on SIGTERM, sticky routing, and what a deploy does to sessions
//! 11. [Restarts](restarts): sessions in a store, which outlive their process
//! 12. [Recipes](recipes): several rooms, logins, questions, `select!`, answers of language models
//! 13. [Files](files): sent in chunks, with a limit
//! 14. [Workers](workers): a job for any client that is free
//! 15. [Testing](testing): sessions without ports and without waiting

pub mod getting_started;

pub mod authentication;

pub mod messages;

pub mod questions;

pub mod reconnecting;

pub mod presence;

pub mod hooks;

pub mod limits;

pub mod deployment;

pub mod kubernetes;

pub mod restarts;

pub mod recipes;

pub mod files;

pub mod workers;

pub mod testing;
