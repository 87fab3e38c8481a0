//! Each question is answered once, with an answer to it, or its asker learns that the session is lost.

use std::collections::{BTreeMap, HashMap};

use super::super::extras::Note;
use super::super::history::{Call, ClientNo, FrameNo, History, How, Outcome, Tale, Way, What};
use super::facts::{ClientFacts, Facts};
use super::{Findings, Property};

pub(super) fn check(history: &History, facts: &Facts, findings: &mut Findings) {
    let mut bad = |text: String| findings.add(Property::Answers, text);
    let mut answered: HashMap<FrameNo, FrameNo> = HashMap::new();
    let mut questions: BTreeMap<FrameNo, Option<FrameNo>> = BTreeMap::new();
    for (at, entry) in history.entries.iter().enumerate() {
        match &entry.what {
            What::Offered { frame, how: How::Ask, .. } => {
                questions.insert(*frame, None);
            }
            What::Note(Note::Answers { question, answer }) => {
                answered.insert(*answer, *question);
            }
            What::Note(Note::Replied { question, answer }) => {
                if answered.get(answer) != Some(question) {
                    bad(format!("{question} gets {answer}, which does not answer it"));
                }
                if questions.insert(*question, Some(*answer)).flatten().is_some() {
                    bad(format!("{question} is answered twice"));
                }
            }
            What::Rest => {
                for question in questions.keys().filter(|question| is_stuck(**question, at, facts)) {
                    bad(format!("{question} still waits, and nothing is missing"));
                }
            }
            _ => {}
        }
    }
    for question in questions.keys() {
        let Some((_, outcome)) = facts.frames.get(question).and_then(|frame| frame.answered) else {
            continue;
        };
        if outcome == Outcome::Unknown && !is_over(*question, facts) {
            bad(format!("{question} is lost, and its session is not"));
        }
        if outcome == Outcome::Abandoned {
            bad(format!("{question} fails in another way"));
        }
    }
}

/// The client of a question, with whether it asks.
fn client(question: FrameNo, facts: &Facts) -> Option<(ClientNo, &ClientFacts)> {
    let client = match facts.frames.get(&question)?.way? {
        Way::ToServer(client) => client,
        Way::ToClient(session) => facts.sessions.get(&session)?.client,
    };
    Some((client, facts.clients.get(&client)?))
}

/// Whether a question has waited until the world came to rest, although both sides are there and neither has dropped a frame.
fn is_stuck(question: FrameNo, rest: usize, facts: &Facts) -> bool {
    let waits =
        facts.frames.get(&question).is_some_and(|frame| frame.answered.is_none_or(|(at, _)| at > rest));
    let Some((number, client)) = client(question, facts) else { return false };
    let is_whole = !client.may_drop
        && client.quiet == Some(true)
        && !client.told.iter().any(|(at, tale)| *at < rest && matches!(tale, Tale::Gap(..) | Tale::Lost(_)));
    let dropped = facts.sessions.values().filter(|session| session.client == number).any(|session| {
        session.calls().any(|(_, call)| matches!(call, Call::Gap(..)))
            || session.quiet.is_none_or(|(attached, _)| !attached)
    });
    waits && is_whole && !dropped
}

/// Whether the session of a question has ended, or its client has lost or left it.
fn is_over(question: FrameNo, facts: &Facts) -> bool {
    let Some((number, client)) = client(question, facts) else { return true };
    match facts.frames.get(&question).and_then(|frame| frame.way) {
        Some(Way::ToClient(session)) => facts
            .sessions
            .get(&session)
            .is_none_or(|session| session.disconnect().is_some() || facts.was_dropped(session)),
        _ => {
            let is_lost = |(_, tale): &(_, Tale)| matches!(tale, Tale::Lost(_) | Tale::Closed { .. });
            client.left.is_some()
                || client.told.iter().any(is_lost)
                || facts.clients.get(&number).is_some_and(|client| client.ended.is_some())
        }
    }
}
