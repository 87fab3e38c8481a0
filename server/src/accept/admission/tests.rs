use rejoin_core::drive::{Unmasked, WsTransport};

use super::*;
use crate::testing::{connection, server};
use crate::{ConnectRequest, Server};

#[tokio::test(start_paused = true)]
async fn socket_that_arrives_during_shutdown_ends_its_session() {
    for is_closing in [false, true] {
        let shared = server();
        let offer = Offer::Plain { subprotocol: None };
        let identity = Identity::new().with_room("room").with_id("ada");
        let asked = LoggedRequest::default();
        let Ok(Decision::New(newcomer)) = Admission::decide(&shared, &offer, identity, &asked) else {
            panic!("it is new")
        };
        let admission = Admission::open(&shared, newcomer, None, &asked).unwrap();
        let ada = shared.realm.ids.get("ada").expect("it is there before its socket");
        if is_closing {
            shared.closing.cancel();
        }
        let (ours, _theirs) = tokio::io::duplex(64);
        let task = admission.attach(&shared, WsTransport::new(ours, Unmasked, &[], 64));
        assert!(task.is_some() && ada.is_open() != is_closing);
    }
}

#[test]
fn ended_session_is_not_resumed() {
    let shared = server();
    let (session, who) =
        new_session(&shared, Mode::Session, None, u64::MAX, "ada".into(), Some("room")).unwrap();
    let new = NewConnection {
        number: None,
        host: shared.clone(),
        who,
        remote_addr: None,
        belongings: Belongings::default(),
        codec_index: 0,
        session,
        writer: None,
    };
    let connection = Connection::new(new);
    shared.registry.insert(&shared.realm.ids, &connection, true).unwrap();
    let resume = Resume { token: connection.handle().token().unwrap().clone(), received: 0 };
    assert_eq!(by_token(&shared, &resume, &[1, 0]), Ok(connection.clone()));
    assert_eq!(by_token(&shared, &resume, &[1]), Err(LostReason::Codec));
    // It has ended, and its task has not unregistered it yet.
    connection.session().command(|session| session.end(CloseReason::ServerClosed));
    assert_eq!(by_token(&shared, &resume, &[0]), Err(LostReason::Unknown));
}

type Change = fn(&mut Session);

#[test]
fn plain_socket_takes_over_by_state_and_policy() {
    let states: [(&str, Change); 5] = [
        ("new", |_| ()),
        ("connected", attach),
        ("suspended", |session| {
            attach(session);
            session.cut(now());
        }),
        ("closing", |session| {
            attach(session);
            session.close(CloseReason::Normal, now() + std::time::Duration::from_secs(1));
        }),
        ("ended", |session| session.end(CloseReason::Normal)),
    ];
    for policy in [DuplicateId::Replace, DuplicateId::Reject, DuplicateId::Resume] {
        let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
        let server = Server::builder(connect).duplicate_id(policy).build().unwrap();
        for (state, change) in states {
            let existing = connection(server.shared());
            existing.session().command(change);
            let takes = |mode, room: &str| {
                let identity = Identity::new().with_room(room.to_owned());
                takes_over(server.shared(), &existing, mode, &identity, &LoggedRequest::default())
            };
            let expected = state == "suspended" || state == "connected" && policy == DuplicateId::Resume;
            assert_eq!(takes(Mode::Plain, "room"), expected, "{state}, {policy:?}");
            assert!(!takes(Mode::Plain, "elsewhere") && !takes(Mode::Session, "room"));
        }
    }
}

fn attach(session: &mut Session) {
    let epoch = session.reserve();
    session.attach(epoch, None, now()).unwrap();
}
