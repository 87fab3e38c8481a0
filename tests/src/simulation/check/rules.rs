//! Limits hold, and refuse no session that counts already; credentials end on time and never early; a drain ends no session,
//! and opens none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rejoin_server::{CloseReason, DropReason};

use super::super::extras::Note;
use super::super::history::{Call, History, SessionNo, Tale, What};
use super::facts::{Facts, When};
use super::{Findings, Property};

/// How long a socket may outlive its credentials: its close frame is written meanwhile.
const CLOSING: Duration = Duration::from_millis(500);

pub(super) fn check(history: &History, facts: &Facts, findings: &mut Findings) {
    limits(history, findings);
    credentials(history, findings);
    drains(history, facts, findings);
}

fn limits(history: &History, findings: &mut Findings) {
    let mut limits = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            What::Note(Note::Limits { server, most }) => {
                limits.insert(*server, *most);
            }
            What::Note(Note::Census { server, found }) => {
                let most = limits.get(server).copied().unwrap_or([usize::MAX; 3]);
                if found.iter().zip(most).any(|(found, most)| *found > most) {
                    let text = format!("server {server} has {found:?} of at most {most:?}");
                    findings.add(Property::Limits, text);
                }
            }
            What::Note(Note::Limited { limit, resumed: Some(session) }) => {
                let text = format!("s{session} counts already, and {limit} refuse to resume it");
                findings.add(Property::Limits, text);
            }
            _ => {}
        }
    }
}

fn credentials(history: &History, findings: &mut Findings) {
    let mut bad = |text: String| findings.add(Property::Credentials, text);
    // The shortest and the longest time of the credentials that each session has shown. The last ones count only once their socket
    // is attached.
    let mut valid = BTreeMap::<SessionNo, (Duration, Duration)>::new();
    let (mut asked_again, mut forbidden, mut resumable) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let expired = DropReason::CredentialsExpired.to_string();
    for entry in &history.entries {
        match &entry.what {
            What::Note(Note::Valid { session, until, resumable: outlives }) => {
                if *outlives {
                    resumable.insert(*session);
                }
                let until = until.unwrap_or(Duration::MAX);
                let known = valid.entry(*session).or_insert((until, until));
                *known = (known.0.min(until), known.1.max(until));
            }
            What::Note(Note::Attached { session }) => {
                let until = valid.get(session).map_or(Duration::MAX, |known| known.1);
                if until.saturating_add(CLOSING) < entry.at {
                    bad(format!("s{session} has a socket at {:?}, and was valid until {until:?}", entry.at));
                }
            }
            What::Note(Note::Reauthenticated { session }) => {
                asked_again.insert(*session);
            }
            What::Note(Note::Forbidden { session }) => {
                forbidden.insert(*session);
            }
            What::Callback { session, call: Call::Drop(why) } if *why == expired => {
                let since = valid.get(session).map_or(Duration::MAX, |known| known.0);
                if since > entry.at && !asked_again.contains(session) {
                    bad(format!("s{session} is dropped at {:?}, and is valid until {since:?}", entry.at));
                }
            }
            What::Callback { session, call: Call::Disconnect { why, .. } } => {
                let is_forbidden = *why == CloseReason::Forbidden.to_string();
                if is_forbidden != forbidden.contains(session) {
                    bad(format!("s{session} ends: {why}"));
                }
                if why.contains(&expired) && resumable.contains(session) {
                    bad(format!("s{session} ends with its credentials: {why}"));
                }
            }
            // The client of a forbidden session does not return.
            What::Told { client, tale: Tale::Dropped(why) } if why.contains("3003") => {
                bad(format!("c{client} dials again after {why}"));
            }
            _ => {}
        }
    }
}

fn drains(history: &History, facts: &Facts, findings: &mut Findings) {
    let mut bad = |text: String| findings.add(Property::Drain, text);
    let mut draining = BTreeMap::<usize, When>::new();
    let mut asked = BTreeMap::new();
    for (at, entry) in history.entries.iter().enumerate() {
        match &entry.what {
            What::Note(Note::Draining { server }) => {
                draining.entry(*server).or_insert(at);
            }
            What::Note(Note::Drained { server, attached }) => {
                let ended = facts.servers.get(server).copied().flatten().is_some_and(|end| end.at < at);
                if *attached > 0 && !ended && !draining.is_empty() {
                    bad(format!("server {server} has drained, and {attached} have sockets"));
                }
            }
            What::Asked { session, server, .. } => {
                asked.insert(*session, (*server, at));
            }
            What::Callback { session, call: Call::Connect { .. } } => {
                let Some((server, asked)) = asked.get(session) else { continue };
                if draining.get(server).is_some_and(|since| since < asked) {
                    bad(format!("s{session} opens while server {server} drains"));
                }
            }
            What::Callback { session, call: Call::Disconnect { why, .. } } if why.contains("1012") => {
                bad(format!("s{session} ends with a drain: {why}"));
            }
            _ => {}
        }
    }
}
