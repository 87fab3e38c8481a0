//! A server whose callbacks are recorded, and its sends.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rejoin_server::{
    Audience, CloseReason, ConnectRequest, Connection, Counts, DeliveryError, Frame, Identity, JoinError,
    Mode, Overflow, Reject, Server, StatusCode,
};
use tokio::time::timeout;

use super::history::{Call, ClientNo, End, FrameNo, How, Numbers, Outcome, SessionNo, To, Way, What};
use super::hub;
use super::schedule::{FRAME_OVERHEAD, MAX_PADDING, ROOMS, ServerOptions};
use super::world::{Ticket, Turn, World, number_of};
use crate::harness::{Picked, codecs};

/// The number of a connection's session, attached as its data.
struct Tag {
    session: SessionNo,
    client: ClientNo,
    /// The earliest moment at which the session can exist.
    since: Ticket,
    sends: Turn,
}

/// Builds a server with these options, whose application sometimes sends frames by itself.
pub(super) fn build(world: &World, number: usize, options: &ServerOptions) -> Server {
    let biggest = MAX_PADDING + FRAME_OVERHEAD;
    world.note(What::ServerStarted {
        server: number,
        // Threads that send at the same moment may each find enough space.
        max_retained: options.max_retained + (world.threads - 1) * biggest,
        max_session: options.buffer_bytes.max(biggest),
    });
    let shared = (world.clone(), options.clone());
    let asked = shared.clone();
    let builder = Server::builder(move |request| {
        let (world, options) = asked.clone();
        async move { connect(&world, number, &options, &request).await }
    });
    // A callback: records the event, and then acts.
    macro_rules! callback {
        (|$world:ident, $options:ident, $connection:ident $(, $argument:ident)?| $call:expr $(, $does:expr)?) => {{
            let shared = shared.clone();
            move |$connection: Connection $(, $argument)?| {
                let ($world, $options) = shared.clone();
                let session = session_of(&$connection);
                let call = $call;
                async move {
                    $world.note(What::Callback { session, call });
                    $($does;)?
                    $world.dawdle($options.slow).await;
                    $world.note(What::Returned { session });
                }
            }
        }};
    }
    let builder = builder
        .on_connect(callback!(
            |world, options, connection| Call::Connect { plain: connection.mode() == Mode::Plain },
            world.connected(session_of(&connection), tag(&connection).client, connection)
        ))
        .on_message(callback!(|world, options, connection, frame| Call::Message(number_of(&frame)), {
            if !frame.id().is_empty() {
                hub::answer(&world, &connection, &frame).await;
            }
            if world.chance(options.answers) {
                answer(&world, &connection).await;
            }
        }))
        .on_transport_drop(callback!(|world, options, connection, why| Call::Drop(format!("{why}"))))
        .on_transport_restore(callback!(|world, options, connection| Call::Restore))
        .on_gap(callback!(|world, options, connection, gap| Call::Gap(gap.from, gap.to)))
        .on_disconnect(callback!(
            |world, options, connection, why| Call::Disconnect {
                why: format!("{why}"),
                end: end(&why),
                counts: numbers(&connection.counts()),
            },
            world.ended(session_of(&connection))
        ))
        .resume_window(Some(options.window).filter(|window| !window.is_zero()))
        .heartbeat(options.heartbeat.0, options.heartbeat.1)
        .write_timeout(options.write_timeout)
        .close_timeout(options.close_timeout)
        .send_buffer(options.buffer)
        .send_buffer_bytes(options.buffer_bytes)
        .overflow(options.overflow)
        .broadcast_overflow(options.broadcast_overflow)
        .max_retained_bytes(options.max_retained)
        .duplicate_id(options.duplicate);
    let builder = hub::configure(builder, world, number, options);
    let builder = codecs().into_iter().fold(builder, |builder, codec| builder.codec(Picked(codec)));
    builder.build().expect("the options are in their ranges")
}

async fn connect(
    world: &World,
    server: usize,
    options: &ServerOptions,
    request: &ConnectRequest,
) -> Result<Identity, Reject> {
    if world.chance(options.refuses) {
        let most = u64::try_from(options.waits.as_millis()).expect("it is short");
        tokio::time::sleep(Duration::from_millis(world.below(most))).await;
    }
    if world.chance(options.refuses) {
        return Err(Reject::from_static(StatusCode::SERVICE_UNAVAILABLE, "not now"));
    }
    let client = request.query("client").and_then(|client| client.parse().ok());
    let client = client.ok_or_else(|| Reject::unauthorized("who?"))?;
    let session = world.new_session();
    world.note(What::Asked { session, server, client });
    let room = request.query("room").unwrap_or_default();
    world.note(What::Joined { session, room: room.parse().unwrap_or_default() });
    let identity = Identity::new().with_room(room);
    let tag = Tag { session, client, since: world.ticket(), sends: Turn::default() };
    let identity = identity.with_data(tag);
    let identity = hub::identify(world, options, request, (session, client), identity);
    Ok(match request.query("id") {
        Some(id) => identity.with_id(id),
        None => identity,
    })
}

fn tag(connection: &Connection) -> Arc<Tag> {
    connection.data().expect("every identity has one")
}

/// The number of a connection's session.
pub(super) fn session_of(connection: &Connection) -> SessionNo {
    tag(connection).session
}

/// The counts of a session, for the history.
pub(super) fn numbers(counts: &Counts) -> Numbers {
    Numbers {
        received: counts.received,
        accepted: counts.accepted,
        dropped: counts.dropped,
        unacknowledged: counts.unacknowledged,
        retained: counts.retained_bytes,
        strays: counts.stray_answers,
    }
}

fn end(why: &CloseReason) -> End {
    match why {
        CloseReason::Local(_) | CloseReason::Kicked | CloseReason::Forbidden => End::Deaf,
        CloseReason::Protocol(_) | CloseReason::TooBig | CloseReason::HandlerPanicked => End::Accused,
        CloseReason::Remote(_) => End::Accused,
        _ => End::Other,
    }
}

/// Sends a reply from a handler.
async fn answer(world: &World, connection: &Connection) {
    let size = usize::try_from(world.below(40)).expect("it is small");
    match world.below(10) {
        0 => {
            let room = connection.room().and_then(|room| room.parse().ok()).unwrap_or_default();
            broadcast(world, &connection.server(), To::Room(room), None, None, size);
        }
        1 => say(world, connection, How::Wait, size, None).await,
        2 => say(world, connection, How::Acked, size, Some(Duration::from_secs(2))).await,
        _ => say(world, connection, How::Send, size, None).await,
    }
}

/// Sends a frame to a client. The session's counts show whether and when it accepts the frame.
pub(super) async fn say(
    world: &World,
    connection: &Connection,
    how: How,
    size: usize,
    patience: Option<Duration>,
) {
    say_frame(world, connection, world.frame(size), how, patience).await;
}

/// [`say`] with this frame.
pub(super) async fn say_frame(
    world: &World,
    connection: &Connection,
    (number, frame): (FrameNo, Frame),
    how: How,
    patience: Option<Duration>,
) {
    let session = session_of(connection);
    world.note(What::Offered { frame: number, way: Way::ToClient(session), how });
    let sending = async {
        let sent = match how {
            How::Send => connection.send(&frame),
            How::Reject => connection.send_with(&frame, Overflow::Reject),
            How::DropOldest => connection.send_with(&frame, Overflow::DropOldest),
            How::DropNewest => connection.send_with(&frame, Overflow::DropNewest),
            How::Disconnect => connection.send_with(&frame, Overflow::Disconnect),
            How::Wait => connection.send_wait(&frame).await,
            How::Acked => return receipt(&connection.send_acked(&frame).await),
            How::Ask => {
                return hub::outcome(world, number, connection.ask(&frame).timeout(hub::PATIENCE).await);
            }
        };
        if sent.is_ok() { Outcome::Accepted } else { Outcome::Refused }
    };
    let mut sending = pin!(sending);
    let tag = tag(connection);
    let watched = std::future::poll_fn(|cx| {
        let (_sending, _turn) = (world.sending(), tag.sends.take());
        let (ticket, before) = (world.ticket(), connection.counts().accepted);
        let polled = sending.as_mut().poll(cx);
        if connection.counts().accepted > before {
            world.note_at(ticket, What::Accepted { frame: number, session });
        }
        polled
    });
    let outcome = within(how, patience, watched).await;
    world.note(What::Answered { frame: number, outcome });
}

/// Waits for a call to send, or drops its future; calls that do not wait complete at once.
pub(super) async fn within(
    how: How,
    patience: Option<Duration>,
    sending: impl Future<Output = Outcome>,
) -> Outcome {
    match (how, patience) {
        (How::Wait, Some(patience)) => timeout(patience, sending).await.unwrap_or(Outcome::Withdrawn),
        (How::Acked, Some(patience)) => timeout(patience, sending).await.unwrap_or(Outcome::Abandoned),
        _ => sending.await,
    }
}

pub(super) fn receipt(receipt: &Result<(), DeliveryError>) -> Outcome {
    match receipt {
        Ok(()) => Outcome::Delivered,
        Err(DeliveryError::Dropped) => Outcome::Dropped,
        Err(DeliveryError::Ended) => Outcome::Unknown,
        Err(_) => Outcome::Refused,
    }
}

/// Broadcasts a frame. The sessions' counts show which accept it. `except` is the session that the audience leaves out.
pub(super) fn broadcast(
    world: &World,
    server: &Server,
    to: To,
    except: Option<&Connection>,
    overflow: Option<Overflow>,
    size: usize,
) {
    let names: Vec<_> = (0..ROOMS).map(|room| room.to_string()).collect();
    let audience = match to {
        To::Room(room) => Audience::room(&names[room]),
        To::Rooms(one, other) => Audience::rooms([&*names[one], &*names[other]]),
        To::Others(room, _) => Audience::room(&names[room]),
        To::Outside(room) => Audience::everyone().except_room(&names[room]),
        To::Everyone => Audience::everyone(),
    };
    let audience = except.into_iter().fold(audience, Audience::except);
    let (number, frame) = world.frame(size);
    let _broadcasting = world.broadcasting();
    world.note(What::Broadcast { frame: number, to });
    let everyone = || server.connections(Audience::everyone()).into_iter();
    let mut sessions: Vec<_> = everyone().map(|session| (session.counts().accepted, session)).collect();
    let ticket = world.ticket();
    let queued = match overflow {
        Some(overflow) => server.broadcast_with(audience, &frame, overflow),
        None => server.broadcast(audience, &frame),
    };
    // A session that opened at this moment was sent no other frame.
    let came = everyone()
        .filter(|session| sessions.iter().all(|(_, other)| session_of(other) != session_of(session)));
    let came: Vec<_> = came.map(|session| (0, session)).collect();
    sessions.extend(came);
    // It fails after a shutdown. With several threads, a session may end meanwhile.
    let is_for_all = queued.is_ok() && overflow == Some(Overflow::DropOldest) && world.threads == 1;
    for (before, connection) in sessions {
        let Tag { session, since, .. } = *tag(&connection);
        if connection.counts().accepted > before {
            world.note_at(ticket.max(since), What::Accepted { frame: number, session });
        } else if is_for_all {
            world.note(What::Missed { frame: number, session });
        }
    }
}

/// Makes a session a member of a room, or ends its membership.
pub(super) fn change_membership(world: &World, connection: &Connection, room: usize, joins: bool) {
    let session = session_of(connection);
    // Neither waits: the world knows the members of a room at each broadcast.
    let _broadcasting = world.broadcasting();
    let name = room.to_string();
    if joins {
        // Before it: from then on the session may get a broadcast. It fails for a session that has ended, which gets none.
        world.note(What::Joined { session, room });
        hub::no_request();
        let joined = at_once(connection.join(&name));
        if matches!(joined, Err(JoinError::RoomFull)) {
            world.note(What::LeftRoom { session, room });
        }
    } else if at_once(connection.leave(&name)).is_ok() {
        world.note(What::LeftRoom { session, room });
    }
}

/// The result of a future that does not wait.
fn at_once<T>(future: impl IntoFuture<Output = T>) -> T {
    let polled = pin!(future.into_future()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(output) = polled else { unreachable!("no membership waits") };
    output
}
