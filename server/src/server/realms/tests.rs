use rejoin_core::Frame;

use super::*;
use crate::fanout::rewind::History;
use crate::testing::{connection, server};

#[test]
fn realms_of_no_use_are_forgotten() {
    let server = Server::new(server());
    let kept = server.realm("kept");
    for n in 0..10_000 {
        assert!(server.realm(&n.to_string()).rooms().is_empty());
        assert!(server.shared().count_realms() <= 65, "after {n} others");
    }
    let same = server.realm("kept");
    assert!(std::sync::Arc::ptr_eq(kept.shared(), same.shared()), "it is open all the time");
    let member = connection(kept.shared());
    drop((kept, same));
    (0..100).for_each(|n| drop(server.realm(&n.to_string())));
    assert_eq!(server.realm("kept").connection(member.id()), Some(member), "a connection keeps it, too");
}

#[test]
fn a_history_keeps_its_realm_until_it_is_too_old() {
    let connect = async |_: crate::ConnectRequest| Ok::<_, crate::Reject>(crate::Identity::new());
    let history = History::new().frames(1).age(std::time::Duration::from_secs(60));
    let server = Server::builder(connect).history(history).build().unwrap();
    let runtime = crate::testing::runtime();
    runtime.block_on(async {
        let others = |from: u32| (from..from + 200).for_each(|n| drop(server.realm(&n.to_string())));
        let has_news = || server.shared().realms().iter().any(|realm| &*realm.name == "news");
        server.realm("news").broadcast("room", &Frame::event_only("e")).unwrap();
        others(0);
        assert!(has_news());
        tokio::time::sleep(std::time::Duration::from_secs(61)).await;
        others(1000);
        assert!(!has_news());
    });
}
