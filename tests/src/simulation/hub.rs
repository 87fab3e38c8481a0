//! Questions, presence, limits, credentials and drains of a server: its options and callbacks, and the actions on it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use rejoin_client::AskError;
use rejoin_server::{
    Audience, Builder, ConnectRequest, Connection, Frame, Identity, Limit, Metrics, Pace, Server, ServerState,
};
use tokio::time::timeout;

use super::extras::{Extra, Extras, Note};
use super::history::{ClientNo, FrameNo, How, Outcome, SessionNo, What};
use super::schedule::{ROOMS, ServerOptions};
use super::server::{say_frame, session_of};
use super::world::{World, number_of};

/// Longer than a simulation takes: a question ends with its answer or with its session.
pub(super) const PATIENCE: Duration = Duration::from_secs(12 * 60 * 60);

thread_local! {
    /// The session that is to be resumed by the request that `ConnectFn` has accepted last. The server decides on a request in the
    /// same poll.
    static RESUMED: Cell<Option<SessionNo>> = const { Cell::new(None) };
}

/// Adds these options and callbacks.
pub(super) fn configure(builder: Builder, world: &World, server: usize, options: &ServerOptions) -> Builder {
    let Extras { max_connections, max_per_user, max_members, frame_rate, .. } = options.extras;
    let most = [max_connections, max_per_user, max_members];
    if most.iter().any(Option::is_some) {
        let most = most.map(|most| most.unwrap_or(usize::MAX));
        world.note(What::Note(Note::Limits { server, most }));
    }
    // A callback: records the event.
    macro_rules! callback {
        (|$connection:ident $(, $room:ident)?| $note:expr) => {{
            let (world, slow) = (world.clone(), options.slow);
            move |$connection: Connection $(, $room)?| {
                let (world, session) = (world.clone(), session_of(&$connection));
                world.note(What::Note($note(session $(, $room)?)));
                async move { world.dawdle(slow).await }
            }
        }};
    }
    let builder = builder
        .on_join(callback!(|connection, room| |session, room: String| Note::Join {
            session,
            room: number(&room)
        }))
        .on_leave(callback!(|connection, room| |session, room: String| Note::Leave {
            session,
            room: number(&room)
        }))
        .on_away(callback!(|connection| |session| Note::Presence { session, away: true }))
        .on_back(callback!(|connection| |session| Note::Presence { session, away: false }))
        .metrics(Limits(world.clone()));
    let builder = max_connections.into_iter().fold(builder, Builder::max_connections);
    let builder = max_per_user.into_iter().fold(builder, Builder::max_connections_per_user);
    let builder = max_members.into_iter().fold(builder, Builder::max_members);
    frame_rate.into_iter().fold(builder, Builder::frame_rate)
}

/// Notes the limits that requests reach.
struct Limits(World);

impl Metrics for Limits {
    fn limit_reached(&self, limit: Limit) {
        if matches!(limit, Limit::Connections | Limit::ConnectionsPerUser | Limit::Members) {
            self.0.note(What::Note(Note::Limited { limit: limit.as_str(), resumed: RESUMED.get() }));
        }
    }
}

/// Adds the credentials and the user that `ConnectFn` returns. `session` is the session that the request opens, unless it resumes
/// another one.
pub(super) fn identify(
    world: &World,
    options: &ServerOptions,
    request: &ConnectRequest,
    (session, client): (SessionNo, ClientNo),
    identity: Identity,
) -> Identity {
    // Its window may have passed while `ConnectFn` was slow.
    let resumed = request.resumes().filter(|connection| connection.is_open()).map(session_of);
    RESUMED.set(resumed);
    let identity = identity.with_user(user(client));
    let session = resumed.unwrap_or(session);
    // In plain mode the server alone knows which session a request resumes.
    let Some(most) = options.extras.validity.filter(|_| request.query("plain").is_none()) else {
        return identity;
    };
    // The last ones are valid for ever, so that the world comes to rest.
    let time = world.chance(80).then(|| Duration::from_millis(50 + world.below(most)));
    let until = time.map(|time| world.now() + time);
    world.note(What::Note(Note::Valid { session, until, resumable: !options.window.is_zero() }));
    time.into_iter().fold(identity, Identity::expires_in)
}

/// Marks the end of a decision on a request, on this thread.
pub(super) fn no_request() {
    RESUMED.set(None);
}

fn user(client: ClientNo) -> String {
    format!("user {}", client % 3)
}

fn number(room: &str) -> usize {
    room.parse().unwrap_or(usize::MAX)
}

/// Answers a question, from its handler.
pub(super) async fn answer(world: &World, connection: &Connection, question: &Frame) {
    let (number, frame) = world.frame(0);
    world.note(What::Note(Note::Answers { question: number_of(question), answer: number }));
    say_frame(world, connection, (number, frame.with_re(question.id())), How::Wait, None).await;
}

/// The outcome of a question.
pub(super) fn outcome(world: &World, question: FrameNo, answer: Result<Frame, AskError>) -> Outcome {
    match answer {
        Ok(frame) => {
            world.note(What::Note(Note::Replied { question, answer: number_of(&frame) }));
            Outcome::Delivered
        }
        Err(AskError::SessionLost | AskError::Ended) => Outcome::Unknown,
        Err(AskError::NotSent(_)) => Outcome::Refused,
        Err(_) => Outcome::Abandoned,
    }
}

/// Performs an action on the server, or on a connection of it.
pub(super) fn act(
    world: &World,
    number: usize,
    server: &Server,
    connection: Option<&Connection>,
    act: &Extra,
) {
    match (act, connection) {
        (Extra::Forbid { .. }, Some(connection)) if connection.forbid() => {
            let session = session_of(connection);
            world.note(What::Note(Note::Forbidden { session }));
            world.note(What::Kicked { session });
        }
        (Extra::Reauthenticate { .. }, Some(connection)) => {
            // Recorded first, because the client may be notified at once.
            let session = session_of(connection);
            world.note(What::Note(Note::Reauthenticated { session }));
            connection.reauthenticate();
        }
        (Extra::Drain { pace }, _) => {
            world.note(What::Note(Note::Draining { server: number }));
            let drain = server.drain(Pace::per_second(*pace));
            let (world, server) = (world.clone(), server.clone());
            world.clone().spawn(async move {
                // A shutdown ends it, too.
                if timeout(PATIENCE, drain).await.is_ok() && server.state() == ServerState::Draining {
                    let attached = server.stats().connections;
                    world.note(What::Note(Note::Drained { server: number, attached }));
                }
            });
        }
        _ => {}
    }
}

/// Records how many connections a server has, if it has limits, and which have a socket, if credentials expire.
pub(super) fn sample(world: &World, number: usize, server: &Server, options: &ServerOptions) {
    let Extras { max_connections, max_per_user, max_members, validity, .. } = options.extras;
    if [max_connections, max_per_user, max_members].iter().any(Option::is_some) {
        let all = server.connections(Audience::everyone());
        let mut users = BTreeMap::<_, usize>::new();
        for connection in &all {
            *users.entry(connection.user()).or_default() += 1;
        }
        let rooms = (0..ROOMS).map(|room| server.connections(room.to_string().as_str()).len());
        let found =
            [all.len(), users.into_values().max().unwrap_or_default(), rooms.max().unwrap_or_default()];
        world.note(What::Note(Note::Census { server: number, found }));
    }
    if validity.is_some() {
        for connection in server.connections(Audience::everyone()).iter().filter(|each| each.is_attached()) {
            world.note(What::Note(Note::Attached { session: session_of(connection) }));
        }
    }
}

/// At rest: records the rooms of each session, as the lists of their members show them.
pub(super) fn note_rooms(world: &World, server: &Server) {
    let mut rooms = BTreeMap::<SessionNo, Vec<(usize, bool)>>::new();
    for room in 0..ROOMS {
        for member in server.members(&room.to_string()) {
            let is_away = !member.presence().is_attached();
            rooms.entry(session_of(member.connection())).or_default().push((room, is_away));
        }
    }
    for (session, rooms) in rooms {
        world.note(What::Note(Note::Rooms { session, rooms }));
    }
}
