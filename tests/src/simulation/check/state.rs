//! The counts of servers and clients: bounds at any time, agreement at rest, nothing at the end.

use std::collections::BTreeMap;

use super::super::history::{History, What};
use super::facts::Facts;
use super::{Findings, Property};

pub(super) fn check(history: &History, facts: &Facts, findings: &mut Findings) {
    let mut bounds = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            What::ServerStarted { server, max_retained, max_session } => {
                bounds.insert(*server, (*max_retained, *max_session));
            }
            What::Sample { server, retained, busy, most } => {
                let (max_retained, max_session) = bounds.get(server).copied().unwrap_or_default();
                if *retained > max_retained + busy || *most > max_session {
                    let text = format!(
                        "server {server} keeps {retained} B, {busy} B of them busy, {most} B for one"
                    );
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
        let delivered = session.delivered() + counts.strays;
        if counts.received != delivered {
            let text = format!("s{number}: {} received, {delivered} delivered", counts.received);
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
        // Limits may keep out a client that has lost its session.
        if !connected && !facts.is_full {
            findings.add(Property::Agreement, format!("c{number} has not come back"));
        } else if connected && sessions != 1 && !client.plain {
            findings.add(Property::Agreement, format!("c{number} is connected, and has {sessions} sessions"));
        }
    }
}
