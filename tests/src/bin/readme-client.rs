//! The smallest client of the README, with the URL as its argument.

include!(concat!(env!("OUT_DIR"), "/readme-client.rs"));
