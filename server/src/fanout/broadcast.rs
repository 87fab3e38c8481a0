//! Broadcasts to any [`Audience`], and its connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use rejoin_core::drive::EncodedFrame;
use rejoin_core::drive::sync::MutexGuard;
use rejoin_core::{Delivery, Frame, Mode, Overflow, SegmentWriter, Span};
use tokio::sync::oneshot;

use crate::connection::Connection;
use crate::error::BroadcastError;
use crate::fanout::audience::{Audience, Exception, Target};
use crate::fanout::encoded::{Encoded, EncodedOnce};
use crate::fanout::history::keeps;
use crate::fanout::members::Members;
use crate::fanout::room::{Excluded, Room};
use crate::fanout::rooms::in_room;
use crate::inner::ServerInner;

/// An audience whose names have been looked up.
#[derive(Default)]
struct Receivers {
    /// The rooms of the audience and the excepted ones, in the order of their names. They are locked in this order, so that threads
    /// cannot deadlock.
    rooms: Vec<(Arc<Room>, AudienceRole)>,
    is_everyone: bool,
    /// The connections of users and IDs, by number. Some may be members of the rooms.
    direct: BTreeMap<u64, Connection>,
    /// The excepted connections, by number.
    except: BTreeMap<u64, Connection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AudienceRole {
    Target,
    Except,
}

/// Queues a frame for an audience now, and returns the number of receivers. It may have been encoded `once` already.
pub(crate) fn broadcast_now(
    shared: &ServerInner,
    audience: &Audience<'_>,
    frame: &Frame,
    once: Option<EncodedOnce>,
    overflow: Overflow,
) -> Result<usize, BroadcastError> {
    let queued = match audience.as_room() {
        Some(room) => {
            let names_rooms = audience.names_rooms.unwrap_or(shared.options.name_rooms);
            shared.realm.rooms.broadcast(room, frame, once, overflow, names_rooms)
        }
        None => broadcast(shared, audience, frame, overflow),
    };
    // An encoding that no receiver keeps has been dropped by now, but no session access has reported the freed bytes.
    shared.budget.settle();
    let (receivers, bytes) = queued?;
    shared.metrics.report(|metrics| metrics.broadcast(bytes as u64, receivers));
    Ok(receivers)
}

/// Queues a frame for one connection, and always gives it a number. With [`Overflow::Reject`] capacity was reserved earlier, so the
/// frame is kept even if there is no capacity now.
pub(crate) fn deliver(shared: &ServerInner, connection: &Connection, frame: &Frame, overflow: Overflow) {
    let codec = connection.codec_index();
    let mut encoded = Encoded::new(frame, &shared.context);
    encoded.encode(codec);
    match &encoded.encodings()[codec] {
        Some(message) if overflow == Overflow::Reject => {
            let message = SegmentWriter::default().push(message.clone());
            let effects = connection.session().queue_promised(&message);
            connection.session().apply(effects);
            connection.session().wake_driver();
        }
        _ => _ = send(std::slice::from_ref(connection), &encoded, overflow),
    }
    drop(encoded);
    shared.budget.settle();
}

/// Like [`deliver`], for a caller that waits until the peer has acknowledged the frame. Returns `None` if the frame cannot be
/// acknowledged.
pub(crate) fn deliver_watched(
    shared: &ServerInner,
    connection: &Connection,
    frame: &Frame,
) -> Option<oneshot::Receiver<Delivery>> {
    let message = connection.handle().codec(shared).encode_framed(frame);
    let watched = message.ok().and_then(|message| {
        let message = EncodedFrame::new(message, frame);
        connection.session().send_watched(message, Overflow::DropOldest)
    });
    if watched.is_none() {
        let (_, effects) = connection.session().queue_missing();
        connection.session().apply(effects);
    }
    watched
}

/// Queues a frame for an audience. Returns the number of receivers for which it was queued, and the size of all encodings.
pub(crate) fn broadcast(
    shared: &ServerInner,
    audience: &Audience<'_>,
    frame: &Frame,
    overflow: Overflow,
) -> Result<(usize, usize), BroadcastError> {
    loop {
        if let Some(result) = try_broadcast(shared, audience, frame, overflow) {
            return result;
        }
    }
}

/// `None` if a room of the audience was emptied between its look-up and its lock. Another one may have its name by now.
fn try_broadcast(
    shared: &ServerInner,
    audience: &Audience<'_>,
    frame: &Frame,
    overflow: Overflow,
) -> Option<Result<(usize, usize), BroadcastError>> {
    let receivers = Receivers::find(shared, audience, Some(frame).filter(|frame| keeps(frame)));
    let names_rooms = audience.names_rooms.unwrap_or(shared.options.name_rooms) && !receivers.is_everyone;
    let frames = receivers.frames(frame, names_rooms);
    let mut forms = Forms {
        unnamed: Encoded::new(frame, &shared.context),
        named: frames.iter().map(|frame| Encoded::new(frame, &shared.context)).collect(),
    };
    let mut rooms = loop {
        let rooms = receivers.lock();
        if let Some(index) = rooms.iter().position(|members| members.dead) {
            drop(rooms);
            shared.realm.rooms.remove(&receivers.rooms[index].0);
            return None;
        }
        // As in `Room::queue`: a codec is foreign code, so it is called without a lock.
        match receivers.missing_codec(&rooms, &mut forms) {
            Err(error) => return Some(Err(error)),
            Ok(Some((encoded, codec))) => {
                drop(rooms);
                let targets = receivers.rooms.iter().map(|(room, _)| room);
                shared.realm.rooms.settle_on_panic(targets, || encoded.encode(codec));
            }
            Ok(None) => break rooms,
        }
    };
    // From here until the locks are released, the frame takes its place in the order of all rooms.
    let mut queued = 0;
    let mut queueings = Vec::new();
    for (index, (room, role)) in receivers.rooms.iter().enumerate() {
        if *role == AudienceRole::Target {
            let excluded = receivers.excluded(&rooms, index);
            let queueing = rooms[index].queue(forms.of_room(index), overflow, &excluded);
            queued += queueing.queued;
            queueings.push((room.clone(), queueing));
        }
    }
    let direct: Vec<_> = receivers.direct(&rooms).cloned().collect();
    drop(rooms);
    queued += send(&direct, &forms.unnamed, overflow);
    let mut lagging = None;
    for (room, mut queueing) in queueings {
        // One call writes to one chunk at most, also if many rooms lag.
        lagging = lagging.or_else(|| queueing.lagging.take());
        shared.realm.rooms.finish(room, queueing);
    }
    if let Some(snapshot) = lagging {
        snapshot.write(0);
    }
    Some(forms.result(queued))
}

/// A frame in the forms in which the receivers get it.
struct Forms<'a> {
    /// Without the name of a room.
    unnamed: Encoded<'a>,
    /// For each room of the receivers, with its name. Empty if rooms are not named.
    named: Vec<Encoded<'a>>,
}

impl<'a> Forms<'a> {
    fn of_room(&self, index: usize) -> &Encoded<'a> {
        self.named.get(index).unwrap_or(&self.unnamed)
    }

    fn of_room_mut(&mut self, index: usize) -> &mut Encoded<'a> {
        self.named.get_mut(index).unwrap_or(&mut self.unnamed)
    }

    /// As [`Encoded::result`].
    fn result(&self, queued: usize) -> Result<(usize, usize), BroadcastError> {
        let (_, mut bytes) = self.unnamed.result(queued)?;
        for encoded in &self.named {
            bytes += encoded.result(queued)?.1;
        }
        Ok((queued, bytes))
    }
}

/// The connections of an audience that have not ended, in the order in which they began.
pub(crate) fn connections(shared: &ServerInner, audience: &Audience<'_>) -> Vec<Connection> {
    let receivers = Receivers::find(shared, audience, None);
    let rooms = receivers.lock();
    let mut found = receivers.direct.clone();
    for (members, (_, role)) in rooms.iter().zip(&receivers.rooms) {
        if *role == AudienceRole::Target {
            found.extend(members.all().map(|member| (member.number(), member.clone())));
        }
    }
    found.retain(|number, connection| {
        !receivers.except.contains_key(number) && !receivers.is_in_excepted_room(&rooms, connection)
    });
    drop(rooms);
    // An access to a session may run foreign wakers, so none is made under the locks.
    found.into_values().filter(Connection::is_open).collect()
}

impl Receivers {
    /// Looks the names up. A room without members that keeps this frame in its history is created.
    fn find(shared: &ServerInner, audience: &Audience<'_>, kept: Option<&Frame>) -> Self {
        let mut receivers = Self::default();
        let by_number = |connection: Connection| (connection.number(), connection);
        let room = |name: &str| shared.realm.rooms.get(name).filter(|_| !name.is_empty());
        for target in audience.targets() {
            match target {
                Target::Room(name) => {
                    let found =
                        kept.map_or_else(|| room(name), |frame| shared.realm.rooms.target(name, frame));
                    receivers.rooms.extend(found.map(|room| (room, AudienceRole::Target)));
                }
                Target::User(name) => {
                    receivers.direct.extend(shared.realm.users.connections(name).into_iter().map(by_number));
                }
                Target::Id(id) => receivers.direct.extend(shared.realm.ids.get(id).map(by_number)),
                Target::Everyone => receivers.is_everyone = true,
            }
        }
        if receivers.is_everyone {
            receivers.rooms =
                shared.realm.rooms.all().into_iter().map(|room| (room, AudienceRole::Target)).collect();
            receivers.direct.clear();
        }
        for exception in &audience.except {
            match exception {
                Exception::Connection(connection) => {
                    receivers.except.insert(connection.number(), (*connection).clone());
                }
                Exception::User(name) => {
                    receivers.except.extend(shared.realm.users.connections(name).into_iter().map(by_number));
                }
                Exception::Room(name) => {
                    receivers.rooms.extend(room(name).map(|room| (room, AudienceRole::Except)));
                }
            }
        }
        // An exception sorts before a target of the same name, and replaces it.
        receivers.rooms.sort_by(|(one, role), (other, other_role)| {
            one.name()
                .cmp(other.name())
                .then((*role == AudienceRole::Target).cmp(&(*other_role == AudienceRole::Target)))
        });
        receivers.rooms.dedup_by(|(one, _), (other, _)| one.name() == other.name());
        receivers
    }

    fn lock(&self) -> Vec<MutexGuard<'_, Members>> {
        self.rooms.iter().map(|(room, _)| room.lock()).collect()
    }

    /// The frame for each room, with its name; none if rooms are not named.
    fn frames(&self, frame: &Frame, names_rooms: bool) -> Vec<Frame> {
        let rooms = self.rooms.iter().filter(|_| names_rooms);
        rooms.map(|(room, _)| in_room(frame, Some(room.name())).into_owned()).collect()
    }

    /// A codec that has receivers, and the form of the frame that it has not yet encoded.
    fn missing_codec<'f, 'a>(
        &self,
        rooms: &[MutexGuard<'_, Members>],
        forms: &'f mut Forms<'a>,
    ) -> Result<Option<(&'f mut Encoded<'a>, usize)>, BroadcastError> {
        let targets = || {
            let all = rooms.iter().zip(&self.rooms).enumerate();
            all.filter(|(_, (_, (_, role)))| *role == AudienceRole::Target)
                .map(|(index, (members, _))| (index, members))
        };
        let encoded = &forms.unnamed;
        for (_, members) in targets() {
            members.check_reserved(encoded)?;
        }
        if encoded.frame.is_reserved() && self.direct.values().any(|each| each.mode() == Mode::Session) {
            return Err(BroadcastError::Reserved);
        }
        let of_rooms = targets().find_map(|(index, members)| {
            members.missing_codec(forms.of_room(index)).map(|codec| (index, codec))
        });
        if let Some((index, codec)) = of_rooms {
            return Ok(Some((forms.of_room_mut(index), codec)));
        }
        let mut codecs = self.direct.values().map(Connection::codec_index);
        let of_direct = codecs.find(|codec| !encoded.has(*codec));
        Ok(of_direct.map(|codec| (&mut forms.unnamed, codec)))
    }

    /// The members of the target at this index that are excepted, or that get the frame through an earlier target.
    fn excluded(&self, rooms: &[MutexGuard<'_, Members>], index: usize) -> Excluded {
        let members = &rooms[index];
        let mut slots: Vec<_> = self.except.values().filter_map(|each| members.slot(each)).collect();
        for (at, (other, (_, role))) in rooms.iter().zip(&self.rooms).enumerate() {
            let hides = match role {
                AudienceRole::Except => true,
                // Everyone gets the frame through their home room, so no two targets share a receiver.
                AudienceRole::Target => at < index && !self.is_everyone,
            };
            if hides {
                let (small, big) =
                    if members.len() < other.len() { (members, other) } else { (other, members) };
                let common = small.all().filter(|member| big.slot(member).is_some());
                slots.extend(common.filter_map(|member| members.slot(member)));
            }
        }
        slots.sort_unstable();
        slots.dedup();
        Excluded { guests: self.is_everyone, slots }
    }

    /// The connections of users and IDs that are not excepted, and do not get the frame through a room.
    fn direct<'a>(&'a self, rooms: &'a [MutexGuard<'_, Members>]) -> impl Iterator<Item = &'a Connection> {
        self.direct.values().filter(|each| {
            !self.except.contains_key(&each.number())
                && !rooms.iter().any(|members| members.slot(each).is_some())
        })
    }

    fn is_in_excepted_room(&self, rooms: &[MutexGuard<'_, Members>], connection: &Connection) -> bool {
        let excepted = rooms.iter().zip(&self.rooms).filter(|(_, (_, role))| *role == AudienceRole::Except);
        excepted.into_iter().any(|(members, _)| members.slot(connection).is_some())
    }
}

/// Queues a frame for single connections. Returns their number.
fn send(connections: &[Connection], encoded: &Encoded<'_>, overflow: Overflow) -> usize {
    let fits = encoded.fits();
    let mut queued = 0;
    let mut frames: Vec<Option<Span>> = vec![None; encoded.encodings().len()];
    for connection in connections {
        let codec = connection.codec_index();
        let session = connection.session();
        let encoding = &encoded.encodings()[codec];
        let effects = if let Some(volatile) = encoded.volatile() {
            let Some(message) = encoding.clone().filter(|_| fits) else { continue };
            let (is_open, effects) = session.queue_volatile(message, volatile);
            queued += usize::from(is_open);
            effects
        } else if let Some(encoding) = encoding {
            let frame = &mut frames[codec];
            let (result, effects) = session.queue(encoding, overflow, fits, || {
                frame.get_or_insert_with(|| SegmentWriter::default().push(encoding.clone()))
            });
            queued += usize::from(result.is_ok_and(|queued| !queued.is_dropped));
            effects
        } else {
            session.queue_missing().1
        };
        session.apply(effects);
        // The session's own task writes to the socket.
        session.wake_driver();
    }
    queued
}
