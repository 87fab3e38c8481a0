//! From servers to clients. The checker knows exactly which frames a session has accepted, and so each frame's number.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::history::{ClientNo, FrameNo, Outcome, SessionNo, Tale, Way};
use super::facts::{ClientFacts, Facts, SessionFacts, When};
use super::{Findings, Property};

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    let mut reached = BTreeMap::new();
    for (&number, client) in &facts.clients {
        once(number, client, findings);
        broadcasts(number, client, facts, findings);
        if client.plain {
            plain(number, client, facts, findings);
        } else {
            segments(number, client, facts, &mut reached, findings);
        }
    }
    for (&number, session) in facts.sessions.iter().filter(|(_, session)| !session.plain) {
        complete(number, session, facts, reached.get(&number), findings);
    }
    receipts(facts, findings);
}

/// The progress of a client in a session.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    position: u64,
    /// How many of them were in gaps.
    missed: u64,
}

/// The messages of each socket, or all messages if the socket makes no difference.
fn stretches(client: &ClientFacts) -> impl Iterator<Item = &[(When, Tale)]> {
    client.told.split(|(_, tale)| client.plain && matches!(tale, Tale::Restored { .. }))
}

fn messages(told: &[(When, Tale)]) -> impl Iterator<Item = (When, FrameNo)> {
    told.iter().filter_map(|(at, tale)| match tale {
        Tale::Message(frame) => Some((*at, *frame)),
        _ => None,
    })
}

fn once(number: ClientNo, client: &ClientFacts, findings: &mut Findings) {
    for stretch in stretches(client) {
        let mut seen = HashSet::new();
        for (_, frame) in messages(stretch) {
            if !seen.insert(frame) {
                findings.add(Property::Once, format!("c{number}: {frame} twice"));
            }
        }
    }
}

/// Broadcasts come in the order of their calls.
fn broadcasts(number: ClientNo, client: &ClientFacts, facts: &Facts, findings: &mut Findings) {
    for stretch in stretches(client) {
        let (mut last, mut seen) = (0, HashSet::new());
        for (_, frame) in messages(stretch) {
            let broadcast = facts.frames.get(&frame).filter(|facts| facts.way.is_none());
            // Duplicates are checked elsewhere.
            let Some(broadcast) = broadcast.filter(|_| seen.insert(frame)) else { continue };
            if broadcast.offered < last {
                findings
                    .add(Property::Broadcasts, format!("c{number}: {frame} comes after a later broadcast"));
            }
            last = last.max(broadcast.offered);
        }
    }
}

/// In plain mode frames may be missing, and a frame that was being written when a socket was lost may be repeated on the next
/// one. The frames on one socket were accepted for plain clients, and are in order.
fn plain(number: ClientNo, client: &ClientFacts, facts: &Facts, findings: &mut Findings) {
    let mut accepted: HashMap<FrameNo, Vec<When>> = HashMap::new();
    for session in facts.sessions.values().filter(|session| session.plain) {
        for (frame, at) in &session.accepted {
            accepted.entry(*frame).or_default().push(*at);
        }
    }
    for stretch in stretches(client) {
        let (mut last, mut seen) = (0, HashSet::new());
        for (at, frame) in messages(stretch) {
            let times = accepted.get(&frame);
            let Some(accepted) = times.and_then(|times| times.iter().find(|accepted| **accepted < at)) else {
                findings.add(Property::Genuine, format!("c{number}: {frame} was not accepted"));
                continue;
            };
            // Duplicates are checked elsewhere.
            if !seen.insert(frame) {
                continue;
            }
            // All members accept a broadcast in one call.
            let broadcast = facts.frames.get(&frame).filter(|facts| facts.way.is_none());
            let accepted = broadcast.map_or(*accepted, |broadcast| broadcast.offered);
            if accepted < last {
                findings.add(Property::Order, format!("c{number}: {frame} comes too late"));
            }
            last = last.max(accepted);
        }
    }
}

/// Between two lost sessions of a client, all frames belong to one session of the server, and each time to a later one.
fn segments(
    number: ClientNo,
    client: &ClientFacts,
    facts: &Facts,
    reached: &mut BTreeMap<SessionNo, Reached>,
    findings: &mut Findings,
) {
    let (mut last, answers) = (0, &facts.answers);
    for segment in client.told.split(|(_, tale)| matches!(tale, Tale::Lost(_))) {
        let has_messages = segment.iter().any(|(_, tale)| matches!(tale, Tale::Message(_)));
        let own = facts.sessions.iter().filter(|(session, facts)| {
            facts.client == number && !facts.plain && (**session > last || !has_messages)
        });
        let fits = own.map(|(session, facts)| (*session, follow(facts, segment, answers)));
        // The best match.
        let Some((session, fit)) = fits.max_by_key(|(_, fit)| fit.steps) else {
            if has_messages {
                findings.add(
                    Property::Genuine,
                    format!("c{number} receives a frame that no session has accepted"),
                );
            }
            continue;
        };
        if let Some((property, text)) = fit.fault {
            findings.add(property, format!("c{number} in s{session}: {text}"));
        }
        if has_messages {
            last = session;
            reached.insert(session, fit.reached);
        }
    }
}

/// How well a segment matches a session.
struct Fit {
    /// The number of matching events.
    steps: usize,
    reached: Reached,
    fault: Option<(Property, String)>,
}

fn follow(session: &SessionFacts, segment: &[(When, Tale)], answers: &HashSet<FrameNo>) -> Fit {
    let positions: HashMap<_, _> = session.accepted.iter().zip(1_u64..).map(|((f, _), n)| (*f, n)).collect();
    let mut reached = Reached::default();
    for (index, (at, tale)) in segment.iter().enumerate() {
        // Answers before it have come, or are in a gap.
        let due = reached.position + 1;
        let expected = due + answers_from(session, reached.position, answers);
        let fault = match tale {
            Tale::Message(frame) => match positions.get(frame) {
                Some(n) if session.accepted[*n as usize - 1].1 > *at => {
                    Some((Property::Genuine, format!("{frame} before it was accepted")))
                }
                Some(n) if *n == expected => {
                    reached.position = *n;
                    None
                }
                // A duplicate is checked elsewhere; the frames after it are still in order.
                Some(n) if *n == reached.position => None,
                Some(n) if *n < expected => Some((Property::Order, format!("{frame} comes too late"))),
                Some(n) => {
                    Some((Property::Numbering, format!("{frame} is number {n}, and {expected} is due")))
                }
                None => Some((Property::Genuine, format!("{frame} was not accepted"))),
            },
            Tale::Gap(from, to)
                if !(due..=expected).contains(from) || to < from || *to > session.accepted.len() as u64 =>
            {
                let text = format!("gap {from}-{to}, and {expected} of {} is due", session.accepted.len());
                Some((Property::Numbering, text))
            }
            Tale::Gap(from, to) => {
                reached.position = *to;
                reached.missed += to + 1 - from;
                None
            }
            _ => None,
        };
        if fault.is_some() {
            return Fit { steps: index, reached, fault };
        }
    }
    reached.position += answers_from(session, reached.position, answers);
    Fit { steps: segment.len(), reached, fault: None }
}

/// How many of the frames that a session accepted next after this number are answers.
fn answers_from(session: &SessionFacts, position: u64, answers: &HashSet<FrameNo>) -> u64 {
    let rest = session.accepted.iter().skip(position as usize);
    rest.take_while(|(frame, _)| answers.contains(frame)).count() as u64
}

/// Each frame that a session has accepted is delivered, in a gap, or counted when the session ended.
fn complete(
    number: SessionNo,
    session: &SessionFacts,
    facts: &Facts,
    reached: Option<&Reached>,
    findings: &mut Findings,
) {
    let client = facts.clients.get(&session.client);
    let listens = facts.heard_all(session.client);
    let answers = session.accepted.iter().filter(|(frame, _)| facts.answers.contains(frame)).count() as u64;
    if let Some((_, counts)) = session.disconnect() {
        if counts.accepted != session.accepted.len() as u64 {
            let text = format!("s{number}: {} accepted, {} counted", session.accepted.len(), counts.accepted);
            findings.add(Property::Agreement, text);
        }
        if let Some(reached) = reached.filter(|reached| reached.missed > counts.dropped) {
            let text = format!("s{number}: {} in gaps, {} dropped", reached.missed, counts.dropped);
            findings.add(Property::Gaps, text);
        }
        // Without a message, it is unknown which session had a gap.
        let position = reached.map_or(counts.dropped + answers, |reached| reached.position);
        if listens && position + counts.unacknowledged < counts.accepted {
            let text = format!(
                "s{number}: {position} of {} have come, {} are unacknowledged",
                counts.accepted, counts.unacknowledged
            );
            findings.add(Property::NothingLostSilently, text);
        }
    }
    let quiet = session.quiet.filter(|(attached, _)| *attached);
    let there = client.and_then(|client| client.quiet) == Some(true);
    if let Some((_, counts)) = quiet.filter(|_| there && listens) {
        let position = reached.map_or(counts.dropped + answers, |reached| reached.position);
        if position < counts.accepted {
            let text = format!("s{number}: {position} of {} have come", counts.accepted);
            findings.add(Property::NothingLostSilently, text);
        }
    }
}

/// Checks `send_acked` of servers.
fn receipts(facts: &Facts, findings: &mut Findings) {
    let told: HashSet<(ClientNo, FrameNo)> = facts
        .clients
        .iter()
        .flat_map(|(number, client)| messages(&client.told).map(|(_, frame)| (*number, frame)))
        .collect();
    for (frame, sent) in &facts.frames {
        let (Some(Way::ToClient(session)), Some((_, outcome))) = (sent.way, sent.answered) else { continue };
        let Some(session) = facts.sessions.get(&session) else { continue };
        let has_come = told.contains(&(session.client, *frame));
        let listens = facts.heard_all(session.client);
        match outcome {
            Outcome::Delivered if !has_come && listens => {
                findings.add(Property::Receipts, format!("{frame} was not delivered to c{}", session.client));
            }
            Outcome::Dropped if has_come => {
                findings.add(Property::Receipts, format!("{frame} was delivered to c{}", session.client));
            }
            Outcome::Refused | Outcome::Withdrawn if has_come => {
                findings.add(Property::Genuine, format!("{frame} was refused, and has come"));
            }
            _ => {}
        }
    }
    for session in facts.sessions.values() {
        for (frame, _) in &session.accepted {
            let answered = facts.frames.get(frame).and_then(|frame| frame.answered);
            if let Some((_, Outcome::Withdrawn)) = answered {
                findings.add(Property::Genuine, format!("{frame} was withdrawn, and accepted"));
            }
        }
    }
}
