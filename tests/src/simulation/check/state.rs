//! The counts of servers and clients: bounds at any time, agreement at rest, nothing at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::history::{Call, History, What};
use super::super::stage::MAX_WRITING;
use super::facts::Facts;
use super::{Findings, Property};

/// The longest close timeout of a schedule. The socket of a session that has ended may write for this time.
const CLOSES: Duration = Duration::from_secs(5);

pub(super) fn check(history: &History, facts: &Facts, findings: &mut Findings) {
    let (mut bounds, mut ends) = (BTreeMap::new(), Vec::new());
    for entry in &history.entries {
        match &entry.what {
            What::ServerStarted { server, max_retained, max_session } => {
                bounds.insert(*server, (*max_retained, *max_session));
            }
            What::Callback { call: Call::Disconnect { .. }, .. } => ends.push(entry.at),
            What::Sample { server, retained, attached, closing, most } => {
                let (max_retained, max_session) = bounds.get(server).copied().unwrap_or_default();
                let ended = ends.iter().filter(|end| entry.at <= **end + CLOSES).count();
                let leaving = ended * MAX_WRITING + closing * (max_session + MAX_WRITING);
                if *retained > max_retained + attached + leaving || *most > max_session {
                    let text = format!("server {server} keeps {retained} B, {most} B for one");
                    findings.add(Property::Bounds, text);
                }
            }
            What::ServerEnded { server, left, crashed: false } if *left > 0 => {
                findings.add(Property::End, format!("server {server} had to drop {left} sessions"));
            }
            What::TasksLeft(count) if *count > 0 => {
                findings.add(Property::End, format!("{count} tasks are left"));
            }
            What::Stuck(what) => findings.add(Property::End, (*what).to_owned()),
            _ => {}
        }
    }
    sessions(facts, findings);
    clients(facts, findings);
}

fn sessions(facts: &Facts, findings: &mut Findings) {
    for (number, session) in &facts.sessions {
        let Some((true, counts)) = session.quiet else { continue };
        if counts.unacknowledged > 0 || counts.retained > 0 {
            findings.add(Property::Agreement, format!("s{number} still keeps something: {counts}"));
        }
        if counts.accepted != session.accepted.len() as u64 {
            let text = format!("s{number}: {} accepted, {} counted", session.accepted.len(), counts.accepted);
            findings.add(Property::Agreement, text);
        }
        if counts.received != session.delivered() {
            let text = format!("s{number}: {} received, {} delivered", counts.received, session.delivered());
            findings.add(Property::Agreement, text);
        }
    }
}

fn clients(facts: &Facts, findings: &mut Findings) {
    for (number, client) in &facts.clients {
        let Some(connected) = client.quiet else { continue };
        let sessions = facts.sessions.values().filter(|session| {
            let attached = session.quiet.is_some_and(|(attached, _)| attached);
            session.client == *number && attached
        });
        let sessions = sessions.count();
        if !connected {
            findings.add(Property::Agreement, format!("c{number} has not come back"));
        } else if sessions != 1 && !client.plain {
            findings.add(Property::Agreement, format!("c{number} is connected, and has {sessions} sessions"));
        }
    }
}
