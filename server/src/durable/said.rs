//! Audiences, as the log stores them.

use crate::connection::Connection;
use crate::fanout::audience::{Audience, Exception, Target};

use super::act::{SaidException, SaidTarget};

/// Converts an audience to its form in the log.
pub(super) fn of(audience: &Audience<'_>) -> (Vec<SaidTarget>, Vec<SaidException>) {
    let targets = audience.targets().map(|target| match target {
        Target::Room(name) => SaidTarget::Room((*name).into()),
        Target::User(name) => SaidTarget::User((*name).into()),
        Target::Id(id) => SaidTarget::Id((*id).into()),
        Target::Everyone => SaidTarget::Everyone,
    });
    let except = audience.except.iter().map(|exception| match exception {
        Exception::Connection(connection) => SaidException::Connection(connection.id().into()),
        Exception::Room(name) => SaidException::Room((*name).into()),
        Exception::User(name) => SaidException::User((*name).into()),
    });
    (targets.collect(), except.collect())
}

/// Converts an audience from its form in the log. `connections` are the excepted connections that exist.
pub(super) fn audience<'a>(
    to: &'a [SaidTarget],
    except: &'a [SaidException],
    connections: &'a [Connection],
    names_rooms: Option<bool>,
) -> Audience<'a> {
    let mut targets = to.iter().map(|target| match target {
        SaidTarget::Room(name) => Target::Room(name),
        SaidTarget::User(name) => Target::User(name),
        SaidTarget::Id(id) => Target::Id(id),
        SaidTarget::Everyone => Target::Everyone,
    });
    let named = except.iter().filter_map(|exception| match exception {
        SaidException::Connection(_) => None,
        SaidException::Room(name) => Some(Exception::Room(name)),
        SaidException::User(name) => Some(Exception::User(name)),
    });
    Audience {
        first: targets.next(),
        more: targets.collect(),
        except: connections.iter().map(Exception::Connection).chain(named).collect(),
        names_rooms,
    }
}
