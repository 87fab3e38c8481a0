//! How a fresh session enters: it takes its places, and joins its rooms, or is refused.

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;

use crate::accept::reject::Reject;
use crate::connection::Connection;
use crate::fanout::members::Joined;
use crate::fanout::rewind::Rewind;
use crate::inner::ServerInner;
use crate::limits::limit::Limit;

/// After this time a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Takes the places of a session that is about to open, and makes it one of its user's. `predecessor` is the session that it is
/// about to replace, whose places it may have.
///
/// # Errors
/// Fails at a limit. The session then has no place.
pub(crate) fn take_places(
    shared: &ServerInner,
    connection: &Connection,
    addr: Option<IpAddr>,
    user: Option<&str>,
    predecessor: Option<&Connection>,
) -> Result<(), Reject> {
    let session = connection.handle();
    let refuse = |limit| refusal(shared, limit);
    shared.reading.enter(connection.number());
    let mut taken = shared.places.take(session, addr, predecessor.map(Connection::handle));
    if taken.is_ok() && user.is_some() && !shared.set_user(connection, user, predecessor) {
        taken = Err(Limit::ConnectionsPerUser);
    }
    taken.map_err(|limit| {
        shared.release(connection);
        refuse(limit)
    })
}

/// Makes a registered session a member of its rooms, the home room first.
///
/// # Errors
/// Fails at a limit. The caller ends the session.
pub(crate) fn join_rooms(
    shared: &ServerInner,
    connection: &Connection,
    further: &[Box<str>],
    rewind: Option<&Rewind>,
) -> Result<(), Reject> {
    // The home has no name if there is none.
    join(shared, connection, connection.handle().shared_room(), rewind)?;
    further.iter().try_for_each(|room| join(shared, connection, &shared.realm.rooms.name(room), None))
}

fn join(
    shared: &ServerInner,
    connection: &Connection,
    room: &std::sync::Arc<str>,
    rewind: Option<&Rewind>,
) -> Result<(), Reject> {
    match shared.realm.rooms.join_rewound(connection, room, rewind).0 {
        Joined::Refused(limit) => Err(refusal(shared, limit)),
        // A session that has ended meanwhile leaves as it does otherwise.
        Joined::Added | Joined::Already | Joined::Closed | Joined::Dead => Ok(()),
    }
}

fn refusal(shared: &ServerInner, limit: Limit) -> Reject {
    shared.reached(limit);
    let busy = |text| Reject::checked(StatusCode::TOO_MANY_REQUESTS, text).with_retry_after(RETRY_AFTER);
    match limit {
        Limit::ConnectionsPerUser => busy("too many connections of this user"),
        Limit::ConnectionsPerAddress => busy("too many connections from this address"),
        Limit::RoomsPerConnection => Reject::forbidden("too many rooms"),
        Limit::Rooms => Reject::unavailable("the server has too many rooms"),
        Limit::Members => Reject::unavailable("the room is full"),
        _ => Reject::unavailable("too many connections"),
    }
}
