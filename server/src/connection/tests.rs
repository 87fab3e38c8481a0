use futures_util::{FutureExt, SinkExt};

use super::*;
use crate::testing::{connection, pending, server};

/// Two sockets can be admitted at the same time. The later request has the later epoch, whichever socket arrives first.
#[test]
fn later_of_two_pending_sockets_wins() {
    let shared = server();
    for is_in_order in [true, false] {
        let connection = connection(&shared);
        let [(early, _one), (late, _other)] = [(); 2].map(|()| pending(&connection, true));
        let epochs = [early.driver.epoch(), late.driver.epoch()];
        let [first, second] = if is_in_order { [early, late] } else { [late, early] };
        assert!(connection.handle().arrive(first).is_none());
        let left = connection.handle().arrive(second).expect("one of them loses");
        assert_eq!(left.driver.epoch(), epochs[0]);
        let taken = connection.handle().take_pending_socket().expect("the other waits");
        assert_eq!(taken.driver.epoch(), epochs[1]);
        assert!(
            !connection.handle().has_pending_socket() && connection.handle().take_pending_socket().is_none()
        );
    }
}

#[test]
fn sink_sends_frames_of_a_connection() {
    let connection = connection(&server());
    let mut sink = connection.sink();
    let frame = || Frame::event_only("hello");
    assert_eq!(sink.send(frame()).now_or_never(), Some(Ok(())));
    assert_eq!(connection.counts().unacknowledged, 1);
    connection.session().close(|session| session.end(CloseReason::Kicked));
    assert_eq!(sink.send(frame()).now_or_never(), Some(Err(SendError::Closed)));
}

#[test]
fn each_connection_keeps_its_address() {
    let shared = server();
    for addr in [None, Some("10.0.0.1:80"), Some("[2001:db8::1]:443")] {
        let remote_addr = addr.map(|addr| addr.parse().unwrap());
        let parts = NewConnection {
            number: None,
            host: shared.clone(),
            who: SessionKey::Plain { id: "id".into(), room: "room".into() },
            remote_addr,
            belongings: Belongings::default(),
            codec_index: 0,
            session: crate::testing::session(&shared),
            writer: None,
        };
        let connection = Connection::new(parts);
        assert_eq!(connection.remote_addr(), remote_addr);
        assert!(connection.data::<u8>().is_none());
    }
}
