//! Received frames that the application has not taken, and a peer that sends too fast.

use super::pair::Pair;
use crate::session::*;
use Side::{Client, Server};

#[test]
fn inbound_bytes_count_all_that_waits() {
    let mut pair = Pair::new(|server| server.inbox_frames = 2, |_| {});
    pair.connect();
    pair.run();
    pair.skip_events();
    assert_eq!(pair.servers[0].inbound_bytes(), 0);
    for text in ["a", "bb", "ccc", "dddd"] {
        pair.send(Client, text);
    }
    pair.write(Client);
    pair.deliver(Server, 4);
    assert_eq!(pair.servers[0].inbound_bytes(), 10, "queued and read ahead");
    assert!(pair.servers[0].poll_event().is_some());
    assert_eq!(pair.servers[0].inbound_bytes(), 9);
    assert!(pair.servers[0].open_question("q"));
    pair.send(Client, "=q");
    pair.write(Client);
    pair.deliver(Server, 1);
    pair.skip_events();
    assert_eq!(pair.servers[0].inbound_bytes(), 2, "an answer that its asker has not taken");
}

#[test]
fn flood_ends_the_session_after_what_was_read() {
    let mut pair = Pair::new(|server| server.inbox_frames = 1, |_| {});
    pair.connect();
    pair.run();
    pair.skip_events();
    for text in ["1", "2", "3"] {
        pair.send(Client, text);
    }
    pair.write(Client);
    pair.deliver(Server, 3);
    pair.servers[0].handle_rate_exceeded(Epoch(9));
    assert!(pair.servers[0].is_open(), "another socket's");
    pair.servers[0].handle_rate_exceeded(Epoch(1));
    pair.settle();
    assert_eq!(pair.in_transit(Client).last().unwrap(), "close 1008 rate limit exceeded");
    assert_eq!(pair.take_events(Server), ["1", "2", "3", "closed: rate limit exceeded"]);
}
