//! The smallest server of the README, on a free port.

include!(concat!(env!("OUT_DIR"), "/readme-server.rs"));
