//! A fold gives a session what the follower would have given it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rejoin_core::drive::now;
use rejoin_store::{Checkpoint, LogId, MemoryStore, NodeId, Record, WriterKey};

use super::*;
use crate::durable::admit::Who;
use crate::durable::apply;
use crate::durable::log::DurableLog;
use crate::durable::restore::{connection_of, enter};
use crate::durable::told::{Callbacks, Told};
use crate::{ConnectRequest, History, Identity, Reject, Server};

const ME: Key = Key::new(*b"abcdefghijklmnop");
const OTHER: Key = Key::new(*b"ponmlkjihgfedcba");

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }

    fn room(&mut self) -> String {
        self.pick(&["home", "tea", "mug", "jar", ""]).into()
    }

    fn key(&mut self) -> Key {
        if self.one_in(4) { OTHER } else { ME }
    }

    fn frame(&mut self, number: u64) -> Said {
        let event = if self.one_in(15) { "$reserved" } else { "say" };
        (&Frame::event_only(event).with_id(number.to_string())).into()
    }

    fn rewind(&mut self) -> Option<Rewind> {
        let frames = self.roll(6) as usize;
        self.one_in(2).then_some(Rewind::Last(frames))
    }

    fn target(&mut self) -> SaidTarget {
        match self.roll(8) {
            0 => SaidTarget::Everyone,
            1 => SaidTarget::User(self.pick(&["ada", "ben"]).into()),
            2 => SaidTarget::Id(self.pick(&["me", "other", "nobody"]).into()),
            _ => SaidTarget::Room(self.room()),
        }
    }

    fn exception(&mut self) -> SaidException {
        match self.roll(3) {
            0 => SaidException::Connection(self.pick(&["me", "other", "nobody"]).into()),
            1 => SaidException::Room(self.room()),
            _ => SaidException::User(self.pick(&["ada", "ben"]).into()),
        }
    }

    fn act(&mut self, number: u64) -> Act {
        let overflow = [Policy::Reject, Policy::DropOldest, Policy::DropNewest][self.roll(3) as usize];
        match self.roll(16) {
            0 => Act::Send { to: self.key(), frame: self.frame(number), overflow },
            1 | 2 => {
                let room = self.pick(&["home", "tea", "mug", "jar"]).into();
                Act::Join { who: self.key(), room, rewind: self.rewind() }
            }
            3 => Act::Leave { who: self.key(), room: self.pick(&["tea", "mug", "jar"]).into() },
            4 => {
                Act::User { who: self.key(), name: [None, Some("ada".into())][self.roll(2) as usize].clone() }
            }
            5 => Act::Presence { who: self.key(), value: Some((0, act::Blob(number.to_string().into()))) },
            6 => Act::Told {
                who: self.key(),
                what: [Told::Connected, Told::Change, Told::Away, Told::Back][self.roll(4) as usize],
            },
            7 if self.one_in(9) => Act::Over(self.key()),
            _ => {
                let to = (0..1 + self.roll(3)).map(|_| self.target()).collect();
                let except = (0..self.roll(4).saturating_sub(1)).map(|_| self.exception()).collect();
                let names_rooms = [None, Some(true), Some(false)][self.roll(3) as usize];
                Act::Say { to, except, frame: self.frame(number), overflow, names_rooms, once: None }
            }
        }
    }
}

fn server(dice: &mut Dice) -> Arc<ServerInner> {
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new());
    let mut builder = Server::builder(connect)
        .store(MemoryStore::new())
        .max_rooms_per_connection(3)
        .name_rooms(dice.one_in(2))
        .history_of(|room| if room == "jar" { History::none() } else { History::new().frames(8) });
    if dice.one_in(2) {
        builder = builder.on_join(|_, _| async {});
    }
    builder.build().unwrap().shared().clone()
}

/// A session of this key that begins here.
fn session(shared: &Arc<ServerInner>, log: &DurableLog, key: Key, fold: &Fold, known: u64) -> Connection {
    let id = if key == ME { "me" } else { "other" };
    let who = Who {
        id: id.into(),
        room: fold.rooms[0].clone(),
        codec: "json".into(),
        is_handed: false,
        has_handler: false,
        realm: String::new(),
    };
    let record = Record {
        key: key.into(),
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
    connection_of(shared, log, &record, fold.callbacks.clone(), Err(known), Duration::ZERO).unwrap().unwrap()
}

/// The frames beyond this number that a session keeps, by their numbers.
fn kept(connection: &Connection, known: u64) -> Vec<(u64, Bytes)> {
    connection.session().drain();
    let snapshot = connection.session().drive(|session| session.snapshot(now()));
    let runs = snapshot.unacknowledged.kept.into_iter();
    runs.flat_map(|run| (run.first..).zip(run.messages)).filter(|(number, _)| *number > known).collect()
}

fn follow_and_fold(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let shared = server(&mut dice);
    let log = shared.durable.clone().unwrap();
    let home = dice.pick(&["home", ""]).to_owned();
    let rooms = if dice.one_in(2) { vec![home, "tea".into()] } else { vec![home] };
    let reports = shared.reports_changes;
    let fold = Fold {
        callbacks: Callbacks::of_newcomer(if reports { &rooms } else { &[] }),
        rooms,
        user: dice.one_in(2).then(|| "ben".into()),
        presence: None,
        rewind: dice.rewind(),
    };
    // A fold that rewinds keeps all frames: `fold` in takeover.rs.
    let known = 0;
    let begin = dice.roll(20);
    let entries: Vec<Entry> = (1..=60)
        .map(|offset| Entry {
            position: Position { generation: 0, offset },
            writer: WriterKey([9; 16]),
            epoch: 1,
            time: 0,
            body: act::encode(act::NOBODY, &[dice.act(2 * offset), dice.act(2 * offset + 1)]),
        })
        .collect();

    let other = session(&shared, &log, OTHER, &Fold { rewind: None, ..fold.clone() }, 0);
    shared.registry.insert(&shared.realm.ids, &other, false).unwrap();
    enter(&shared, &other, Bytes::new(), Fold { rewind: None, ..fold.clone() });
    let followed = session(&shared, &log, ME, &fold, 0);
    let enters = || {
        shared.registry.insert(&shared.realm.ids, &followed, false).unwrap();
        enter(&shared, &followed, Bytes::new(), fold.clone());
    };
    if begin == 0 {
        enters();
    }
    for entry in &entries {
        apply::apply(&shared, &log, entry, false);
        if entry.position.offset == begin {
            enters();
        }
    }

    let begin = Position { generation: 0, offset: begin };
    let folded = session(&shared, &log, ME, &fold, known);
    let folding = Folding::new(folded, fold.clone(), (0, known), begin);
    let mut folding = folding.with_histories(&shared);
    if begin.offset == 0 {
        folding.rewind_home(&shared).unwrap();
    }
    for entries in entries.chunks(7) {
        folding.apply(&shared, entries).unwrap();
    }
    assert!(folding.fold.rewind.is_none(), "seed {seed}: it has got that");
    assert_eq!(folding.number, followed.session().drive(|session| session.counts().accepted), "seed {seed}");
    let frames = kept(&followed, known);
    assert_eq!(kept(&folding.connection, known), frames, "seed {seed}");
    let writer = followed.handle().writer().unwrap();
    let sorted = |mut fold: Fold| {
        fold.rooms.retain(|room| !room.is_empty());
        fold.rooms.sort();
        format!("{fold:?}")
    };
    assert_eq!(sorted(folding.fold), sorted(Fold::of(&followed, writer)), "seed {seed}");
    frames.len()
}

#[tokio::test(start_paused = true)]
async fn a_fold_decides_as_the_follower_does() {
    let frames: usize = (1..=300).map(follow_and_fold).sum();
    assert!(frames > 3000, "{frames}");
}

/// Entries of the session itself tell the fold whose it is.
#[tokio::test(start_paused = true)]
async fn a_fold_ends_when_its_takeover_has_passed() {
    let shared = server(&mut Dice(1));
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
    let mut folding = Folding::new(session(&shared, &log, ME, &fold, 0), fold.clone(), (0, 0), at(4));
    let mut apply = |entry| {
        folding.apply(&shared, &[entry]).unwrap();
        (folding.is_ours(), folding.has_left())
    };
    assert_eq!(apply(entry(4, 1, Act::Nothing)), (false, false), "that is where it begins");
    assert_eq!(apply(entry(5, 0, Act::Nothing)), (false, false), "its former owner has said that");
    assert_eq!(apply(entry(6, 1, Act::Moved(ME))), (true, false));
    assert_eq!(apply(entry(7, 0, Act::Replaced(OTHER))), (true, false));
    assert_eq!(apply(entry(8, 2, Act::Moved(ME))), (true, true));

    let mut folding = Folding::new(session(&shared, &log, ME, &fold, 0), fold.clone(), (0, 0), at(4));
    folding.apply(&shared, &[entry(5, 0, Act::Replaced(ME))]).unwrap();
    assert!(folding.has_left());
    let join = Act::Join { who: ME, room: "tea".into(), rewind: Some(Rewind::Last(1)) };
    assert_eq!(folding.apply(&shared, &[entry(6, 1, join)]), Err(FoldError::NeedsHistories));
    let damaged = Entry { body: Bytes::from_static(b"?"), ..entry(7, 1, Act::Nothing) };
    assert_eq!(folding.apply(&shared, &[damaged]), Err(FoldError::Damaged));
    assert!(folding.knows(0) && !folding.knows(1));
}
