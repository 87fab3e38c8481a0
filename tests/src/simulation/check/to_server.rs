//! From clients to servers. A client's `send_acked` accepts its frame at some moment between its call and its return; for every
//! other frame the checker knows the moment exactly.

use std::collections::{HashMap, HashSet};

use super::super::history::{Call, ClientNo, End, FrameNo, Outcome, SessionNo, Tale, Way};
use super::facts::{ClientFacts, Facts, SessionFacts, When};
use super::{Findings, Property};

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    let deliveries = Deliveries::of(facts);
    genuine(facts, &deliveries, findings);
    order(facts, &deliveries, findings);
    for (&number, session) in facts.sessions.iter().filter(|(_, session)| !session.plain) {
        gaps(number, session, facts, findings);
    }
    for (&number, client) in &facts.clients {
        receipts(number, client, facts, &deliveries, findings);
        if !client.plain {
            complete(number, client, facts, &deliveries, findings);
        }
    }
}

/// The frames that were delivered to servers' applications.
#[derive(Debug, Default)]
struct Deliveries {
    /// By session, in order, including duplicates.
    all: Vec<(SessionNo, When, FrameNo)>,
    frames: HashSet<FrameNo>,
}

impl Deliveries {
    fn of(facts: &Facts) -> Self {
        let mut deliveries = Self { frames: facts.replies.clone(), ..Self::default() };
        for (number, session) in &facts.sessions {
            for (at, call) in session.calls() {
                if let Call::Message(frame) = call {
                    deliveries.all.push((*number, at, *frame));
                    deliveries.frames.insert(*frame);
                }
            }
        }
        deliveries
    }
}

fn sender(frame: FrameNo, facts: &Facts) -> Option<ClientNo> {
    match facts.frames.get(&frame)?.way? {
        Way::ToServer(client) => Some(client),
        Way::ToClient(_) => None,
    }
}

/// The entries between which a frame was accepted, if it was.
fn accepted(frame: FrameNo, facts: &Facts) -> Option<(When, When)> {
    facts.frames.get(&frame)?.accepted()
}

fn genuine(facts: &Facts, deliveries: &Deliveries, findings: &mut Findings) {
    let mut seen = HashSet::new();
    for (session, at, frame) in &deliveries.all {
        let from = sender(*frame, facts);
        // A plain session continues with any client that claims its ID.
        let theirs = facts.sessions.get(session).is_some_and(|s| s.plain || from == Some(s.client));
        let was_accepted = accepted(*frame, facts).is_some_and(|(since, _)| since < *at);
        if from.is_none() || !theirs || !was_accepted {
            findings.add(Property::Genuine, format!("s{session}: {frame} was not accepted for it"));
        }
        if !seen.insert(*frame) {
            findings.add(Property::Once, format!("s{session}: {frame} twice"));
        }
    }
}

/// Across all sessions of a client: a later session gets frames that were accepted later.
fn order(facts: &Facts, deliveries: &Deliveries, findings: &mut Findings) {
    // By client: the latest moment at which a delivered frame cannot have been accepted yet.
    let mut latest: HashMap<ClientNo, When> = HashMap::new();
    let mut seen = HashSet::new();
    for (session, _, frame) in &deliveries.all {
        let (Some(client), Some((since, until))) = (sender(*frame, facts), accepted(*frame, facts)) else {
            continue;
        };
        // Duplicates are checked elsewhere.
        if !seen.insert(*frame) {
            continue;
        }
        let latest = latest.entry(client).or_default();
        if until < *latest {
            findings.add(Property::Order, format!("s{session}: {frame} comes too late"));
        }
        *latest = since.max(*latest);
    }
}

/// Gaps begin at the current count, and the gaps between two frames report exactly the missing ones.
fn gaps(number: SessionNo, session: &SessionFacts, facts: &Facts, findings: &mut Findings) {
    let mut bad = |property, text: String| findings.add(property, format!("s{number}: {text}"));
    // The lower bound of the count, and the number of frames in gaps.
    let (mut count, mut missed) = (0, 0);
    let answers = facts.answers.iter().filter(|answer| sender(**answer, facts) == Some(session.client));
    let answers = answers.count() as u64;
    let mut last: Option<(u64, FrameNo)> = None;
    let mut seen = HashSet::new();
    for (_, call) in session.calls() {
        match call {
            Call::Gap(from, to) => {
                // Answers may have come before it: the history does not say where they were counted.
                if *from <= count || *from > count + 1 + answers || to < from {
                    bad(Property::Numbering, format!("gap {from}-{to}, and {} is due", count + 1));
                }
                let may_drop = facts.clients.get(&session.client).is_some_and(|client| client.may_drop);
                if !may_drop {
                    bad(Property::Gaps, format!("gap {from}-{to}, and nothing may be dropped"));
                }
                count = *to;
                missed += to + 1 - from;
            }
            Call::Message(frame) if seen.insert(*frame) => {
                count += 1;
                if let Some((before, previous)) = last {
                    let missing = missed - before;
                    let (least, most) = between(previous, *frame, session.client, facts);
                    if missing < least || missing > most {
                        let text = format!(
                            "{missing} missing between {previous} and {frame}, where {least} to {most} were accepted"
                        );
                        bad(Property::Numbering, text);
                    }
                }
                last = Some((missed, *frame));
            }
            _ => {}
        }
    }
}

/// The minimum and maximum number of frames that the client has accepted between these two.
fn between(first: FrameNo, second: FrameNo, client: ClientNo, facts: &Facts) -> (u64, u64) {
    let (Some(first), Some(second)) = (accepted(first, facts), accepted(second, facts)) else {
        return (0, u64::MAX);
    };
    let Some(client) = facts.clients.get(&client) else { return (0, u64::MAX) };
    let (mut least, mut most) = (0, 0);
    for frame in &client.offered {
        let Some((since, until)) = accepted(*frame, facts) else { continue };
        if until > first.0 && since < second.1 && (since, until) != first && (since, until) != second {
            most += 1;
        }
        // An answer is missing only if it is in a gap.
        let certain = facts.frames.get(frame).is_some_and(|frame| frame.is_certain());
        let certain = certain && !facts.answers.contains(frame);
        if certain && since > first.1 && until < second.0 {
            least += 1;
        }
    }
    (least, most)
}

/// Whether some session of this client may have discarded frames that it had received.
fn was_discarded(client: ClientNo, facts: &Facts) -> bool {
    facts.sessions.values().any(|session| {
        let deaf = session.disconnect().is_some_and(|(end, _)| end == End::Deaf);
        session.client == client && (deaf || facts.was_dropped(session))
    })
}

fn receipts(
    number: ClientNo,
    client: &ClientFacts,
    facts: &Facts,
    deliveries: &Deliveries,
    findings: &mut Findings,
) {
    let discarded = was_discarded(number, facts);
    for frame in &client.offered {
        let Some((_, outcome)) = facts.frames.get(frame).and_then(|frame| frame.answered) else { continue };
        let has_come = deliveries.frames.contains(frame);
        if outcome == Outcome::Delivered && !has_come && !discarded {
            findings.add(Property::Receipts, format!("{frame} was not delivered"));
        }
        if outcome == Outcome::Dropped && has_come {
            findings.add(Property::Receipts, format!("{frame} was delivered"));
        }
    }
}

/// Each accepted frame was delivered, or its loss was reported to the sender.
fn complete(
    number: ClientNo,
    client: &ClientFacts,
    facts: &Facts,
    deliveries: &Deliveries,
    findings: &mut Findings,
) {
    let Some((unacknowledged, kept)) = &client.ended else { return };
    if (kept.len() as u64) > *unacknowledged || (!client.may_drop && kept.len() as u64 != *unacknowledged) {
        let text = format!("c{number}: {} kept, {unacknowledged} unacknowledged", kept.len());
        findings.add(Property::Agreement, text);
    }
    let mut told: HashSet<FrameNo> = kept.iter().copied().collect();
    let mut lost = false;
    for (_, tale) in &client.told {
        if let Tale::Lost(frames) = tale {
            told.extend(frames);
            lost = true;
        }
    }
    // A client that has dropped frames itself and then loses the session gets no second report of them.
    if client.may_drop && lost {
        return;
    }
    let missing: Vec<_> = client
        .offered
        .iter()
        .filter(|frame| facts.frames.get(frame).is_some_and(|frame| frame.is_owed()))
        .filter(|frame| !deliveries.frames.contains(frame) && !told.contains(frame))
        .collect();
    let mut excused = unacknowledged.saturating_sub(kept.len() as u64);
    for session in facts.sessions.values().filter(|session| session.client == number) {
        if facts.was_dropped(session) {
            return;
        }
        let gaps = session.calls().map(|(_, call)| match call {
            Call::Gap(from, to) => to + 1 - from,
            _ => 0,
        });
        excused += gaps.sum::<u64>();
        let counts = session
            .disconnect()
            .map(|(_, counts)| counts)
            .or_else(|| session.quiet.map(|(_, counts)| counts));
        // Answers to questions of an earlier session.
        excused += counts.map_or(0, |counts| counts.strays);
        if let Some((End::Deaf, counts)) = session.disconnect() {
            excused += counts.received.saturating_sub(session.delivered());
        }
    }
    if missing.len() as u64 > excused {
        let text = format!("c{number}: {missing:?} have not come, {excused} excused");
        findings.add(Property::NothingLostSilently, text);
    }
}
