//! Memberships and audiences, compared with a simple model of them.

use std::collections::{BTreeSet, VecDeque};

use rejoin_core::drive::now;
use rejoin_core::{Codec as _, Message, Mode, Session};

use super::*;
use crate::JsonCodec;
use crate::connection::NewConnection;
use crate::inner::ServerInner;
use crate::session::belongings::Belongings;
use crate::session::handle::SessionKey;
use crate::testing::server;

const ROOMS: [&str; 4] = ["red", "green", "blue", "grey"];
const USERS: [&str; 2] = ["ada", "bob"];

/// A registered connection without a task, which drains its broadcasts.
struct Member {
    connection: Connection,
    home: Option<&'static str>,
    rooms: BTreeSet<&'static str>,
    user: Option<&'static str>,
    expected: VecDeque<String>,
}

impl Member {
    fn new(shared: &Arc<ServerInner>, id: usize, home: Option<&'static str>) -> Self {
        let mut session = Session::new(shared.session_config(Mode::Plain).clone(), now());
        let epoch = session.reserve();
        session.attach(epoch, None, now()).unwrap();
        let connection = Connection::new(NewConnection {
            number: None,
            host: shared.clone(),
            who: SessionKey::Plain { id: id.to_string().into(), room: home.unwrap_or_default().into() },
            remote_addr: None,
            belongings: Belongings::default(),
            codec_index: 0,
            session,
            writer: None,
        });
        shared.registry.insert(&shared.realm.ids, &connection, true).unwrap();
        assert_eq!(shared.realm.rooms.join(&connection, connection.handle().shared_room()), Joined::Added);
        let rooms = home.into_iter().collect();
        Self { connection, home, rooms, user: None, expected: VecDeque::new() }
    }

    /// The events that arrived since the last call.
    fn received(&self) -> VecDeque<String> {
        self.connection.session().drive(|session| {
            let messages = session.take_unacknowledged();
            messages.iter().map(|message| text(message)).collect()
        })
    }
}

/// The event in a framed JSON message.
fn text(message: &[u8]) -> String {
    let json = &message[message.iter().position(|byte| *byte == b'{').unwrap()..];
    let json = String::from_utf8(json.to_vec()).unwrap();
    JsonCodec.decode(Message::text(json)).unwrap().event().to_owned()
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len())]
    }
}

fn ready<T>(future: impl IntoFuture<Output = T>) -> T {
    let mut future = std::pin::pin!(future.into_future());
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it does not wait"),
    }
}

/// A random audience, and whether a member belongs to it.
fn audience<'a>(random: &mut Random, members: &'a [Member], ids: &'a [String]) -> (Audience<'a>, Vec<bool>) {
    let mut audience = Audience::default();
    let mut includes = vec![false; members.len()];
    let mut add = |audience: Audience<'a>, more, belongs: &dyn Fn(usize) -> bool| {
        includes.iter_mut().enumerate().for_each(|(index, includes)| *includes |= belongs(index));
        audience.and(more)
    };
    for _ in 0..random.below(3) + 1 {
        audience = match random.below(8) {
            0 => add(audience, Audience::everyone(), &|_| true),
            1 => {
                let user = random.of(&USERS);
                add(audience, Audience::user(user), &|index| members[index].user == Some(user))
            }
            2 | 3 => {
                let index = random.below(members.len());
                add(audience, Audience::id(&ids[index]), &|other| other == index)
            }
            _ => {
                let room = random.of(&ROOMS);
                add(audience, Audience::room(room), &|index| members[index].rooms.contains(room))
            }
        };
    }
    let mut remove = |audience, belongs: &dyn Fn(usize) -> bool| {
        includes.iter_mut().enumerate().for_each(|(index, includes)| *includes &= !belongs(index));
        audience
    };
    for _ in 0..random.below(3) {
        audience = match random.below(3) {
            0 => {
                let index = random.below(members.len());
                remove(audience.except(&members[index].connection), &|other| other == index)
            }
            1 => {
                let room = random.of(&ROOMS);
                remove(audience.except_room(room), &|index| members[index].rooms.contains(room))
            }
            _ => {
                let user = random.of(&USERS);
                remove(audience.except_user(user), &|index| members[index].user == Some(user))
            }
        };
    }
    (audience, includes)
}

#[test]
fn every_audience_gets_each_frame_once_in_order() {
    for seed in 1..60 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let shared = server();
        let server = Server::new(shared.clone());
        let ids: Vec<_> = (0..12).map(|id: usize| id.to_string()).collect();
        let homes = [Some("red"), Some("red"), Some("green"), None];
        let mut members: Vec<_> =
            (0..12).map(|id| Member::new(&shared, id, homes[id % homes.len()])).collect();
        for step in 0..300 {
            let room = *random.of(&ROOMS);
            let index = random.below(members.len());
            match random.below(8) {
                0 => {
                    let member = &mut members[index];
                    assert_eq!(ready(member.connection.join(room)), Ok(member.rooms.insert(room)));
                }
                1 => {
                    let member = &mut members[index];
                    let expected = match member.home {
                        Some(home) if home == room => Err(LeaveError::HomeRoom),
                        _ => Ok(member.rooms.remove(room)),
                    };
                    assert_eq!(ready(member.connection.leave(room)), expected);
                }
                2 => {
                    let user = Some(*random.of(&USERS)).filter(|_| random.below(3) > 0);
                    assert!(members[index].connection.set_user(user));
                    members[index].user = user;
                }
                3 => {
                    let member = &mut members[index];
                    assert_eq!(member.received(), member.expected, "seed {seed}, step {step}");
                    member.expected.clear();
                }
                _ => {
                    let event = step.to_string();
                    let (audience, includes) = audience(&mut random, &members, &ids);
                    let shown = format!("seed {seed}, step {step}: {audience:?}");
                    let listed: BTreeSet<_> =
                        server.connections(audience.clone()).iter().map(Connection::number).collect();
                    let policy = *random.of(&[Overflow::DropOldest, Overflow::Reject]);
                    let queued =
                        server.broadcast_with(audience, &Frame::event_only(event.clone()), policy).unwrap();
                    let count = includes.iter().filter(|includes| **includes).count();
                    assert_eq!((queued, listed.len()), (count, count), "{shown}");
                    for (member, includes) in members.iter_mut().zip(includes) {
                        assert_eq!(listed.contains(&member.connection.number()), includes, "{shown}");
                        member.expected.extend(includes.then(|| event.clone()));
                    }
                }
            }
        }
        for member in &members {
            assert_eq!(member.received(), member.expected, "seed {seed}");
            let rooms = member.connection.rooms();
            assert!(member.home.is_none_or(|home| rooms[0] == home), "{rooms:?}");
            assert_eq!(rooms.iter().map(String::as_str).collect::<BTreeSet<_>>(), member.rooms);
            assert!(ROOMS.iter().all(|room| member.connection.is_in(room) == member.rooms.contains(room)));
            assert_eq!(member.connection.user().as_deref(), member.user);
        }
        for room in ROOMS {
            let count = members.iter().filter(|member| member.rooms.contains(room)).count();
            assert_eq!(
                (server.member_count(room), server.rooms().contains(&room.to_owned())),
                (count, count > 0)
            );
        }
    }
}

#[test]
fn ended_connection_leaves_all_rooms_and_its_user() {
    let shared = server();
    let server = Server::new(shared.clone());
    let member = Member::new(&shared, 0, Some("red"));
    let connection = &member.connection;
    for room in &ROOMS[1..] {
        assert_eq!(ready(connection.join(room)), Ok(true));
    }
    assert!(connection.set_user(Some("ada")));
    assert_eq!(
        (server.rooms().len(), server.stats().memberships, server.users()),
        (4, 4, vec!["ada".into()])
    );
    assert!(server.user("ada").is_online());
    assert_eq!(ready(server.user("ada").kick()), 1);
    assert_eq!((server.rooms().len(), server.stats().memberships, server.users().len()), (0, 0, 0));
    assert_eq!((connection.rooms().len(), connection.user(), connection.is_in("red")), (0, None, false));
    assert_eq!(ready(connection.join("blue")), Err(JoinError::Closed));
    assert!(!connection.set_user(Some("bob")) && server.rooms().is_empty() && server.users().is_empty());
}

#[test]
fn closing_connection_joins_nothing_and_is_listed_until_its_end() {
    let shared = server();
    let member = Member::new(&shared, 0, Some("red"));
    member.connection.close();
    assert_eq!(ready(member.connection.join("blue")), Err(JoinError::Closed));
    assert_eq!(
        (shared.realm.rooms.len(), shared.realm.rooms.get("red").unwrap().len()),
        (1, 1),
        "until its end"
    );
    member.connection.end(CloseReason::Normal);
    shared.forget(&member.connection);
    assert_eq!(shared.realm.rooms.len(), 0);
}

#[test]
fn rooms_need_names() {
    let shared = server();
    let server = Server::new(shared.clone());
    let member = Member::new(&shared, 0, None);
    assert_eq!(ready(member.connection.join("")), Err(JoinError::EmptyName));
    assert_eq!(ready(member.connection.leave("")), Ok(false));
    assert!(!member.connection.is_in(""));
    let frame = Frame::event_only("e");
    assert_eq!(server.broadcast("", &frame), Ok(0));
    assert_eq!(server.broadcast(Audience::rooms(["", "red"]), &frame), Ok(0));
    assert_eq!((server.member_count(""), server.rooms().len(), server.stats().rooms), (0, 0, 0));
    assert_eq!(server.broadcast(Audience::everyone(), &frame), Ok(1), "everyone includes it");
}

#[test]
fn audiences_change_rooms_in_bulk() {
    let shared = server();
    let server = Server::new(shared.clone());
    let members: Vec<_> = (0..3).map(|id| Member::new(&shared, id, Some("red"))).collect();
    assert_eq!(ready(std::pin::pin!(server.join(Audience::ids(["0", "2", "9"]), "blue"))), Ok(2));
    assert_eq!(ready(std::pin::pin!(server.join("red", "blue"))), Ok(1));
    assert_eq!(
        ready(std::pin::pin!(server.leave(Audience::room("blue").except(&members[0].connection), "blue"))),
        Ok(2)
    );
    assert_eq!(server.member_count("blue"), 1);
    assert_eq!(ready(std::pin::pin!(server.leave("red", "red"))), Err(LeaveError::HomeRoom));
    assert!(server.close("red", 999, "").is_err() && members[1].connection.is_open());
    assert_eq!(server.close("blue", 4001, "bye"), Ok(1));
    assert!(!members[0].connection.is_open() && members[1].connection.is_open());
}
