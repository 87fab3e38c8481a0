//! Tests of [`Folding`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rejoin_store::{Checkpoint, LogId, MemoryStore, NodeId, Record};

use super::*;
use crate::durable::admit::Who;
use crate::durable::log::DurableLog;
use crate::durable::restore::connection_of;
use crate::{ConnectRequest, History, Identity, Reject, Server};

const ME: Key = Key::new(*b"abcdefghijklmnop");
const OTHER: Key = Key::new(*b"ponmlkjihgfedcba");

fn server() -> Arc<ServerInner> {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new());
    let builder = Server::builder(connect).store(MemoryStore::new()).history(History::new());
    builder.build().unwrap().shared().clone()
}

/// A session of this key that begins here.
fn session(shared: &Arc<ServerInner>, log: &DurableLog, fold: &Fold) -> Connection {
    let id = "me";
    let who = Who {
        id: id.into(),
        room: fold.rooms[0].clone(),
        codec: "json".into(),
        is_handed: false,
        has_handler: false,
        realm: String::new(),
    };
    let record = Record {
        key: ME.into(),
        log: LogId(1),
        epoch: 1,
        attachment: 1,
        owner: NodeId { name: 1, incarnation: 1 },
        w: 0,
        received: None,
        checkpoint: Checkpoint::default(),
        proof: [0; 32],
        id: id.into(),
        identity: Bytes::from(rmp_serde::to_vec(&who).unwrap()),
        state: Bytes::new(),
        deadline: None,
    };
    connection_of(shared, log, &record, fold.callbacks.clone(), Err(0), Duration::ZERO).unwrap().unwrap()
}

/// Entries of the session itself tell the fold whose it is.
#[tokio::test(start_paused = true)]
async fn a_fold_ends_when_its_takeover_has_passed() {
    let shared = server();
    let log = shared.durable.clone().unwrap();
    let fold = Fold { rooms: vec!["home".into()], ..Fold::default() };
    let at = |offset| Position { generation: 0, offset };
    let entry = |offset, epoch, act| Entry {
        position: at(offset),
        writer: ME.into(),
        epoch,
        time: 0,
        body: act::encode(act::NOBODY, &[act]),
    };
    let mut folding = Folding::new(session(&shared, &log, &fold), fold.clone(), (0, 0), at(4));
    let mut apply = |entry| {
        folding.apply(&shared, &[entry]).unwrap();
        (folding.is_ours(), folding.has_left())
    };
    assert_eq!(apply(entry(4, 1, Act::Nothing)), (false, false), "that is where it begins");
    assert_eq!(apply(entry(5, 0, Act::Nothing)), (false, false), "its former owner has said that");
    assert_eq!(apply(entry(6, 1, Act::Moved(ME))), (true, false));
    assert_eq!(apply(entry(7, 0, Act::Replaced(OTHER))), (true, false));
    assert_eq!(apply(entry(8, 2, Act::Moved(ME))), (true, true));

    let mut folding = Folding::new(session(&shared, &log, &fold), fold.clone(), (0, 0), at(4));
    folding.apply(&shared, &[entry(5, 0, Act::Replaced(ME))]).unwrap();
    assert!(folding.has_left());
    let join = Act::Join { who: ME, room: "tea".into(), rewind: Some(Rewind::Last(1)) };
    assert_eq!(folding.apply(&shared, &[entry(6, 1, join)]), Err(FoldError::NeedsHistories));
    let damaged = Entry { body: Bytes::from_static(b"?"), ..entry(7, 1, Act::Nothing) };
    assert_eq!(folding.apply(&shared, &[damaged]), Err(FoldError::Damaged));
    assert!(folding.knows(0) && !folding.knows(1));
}
