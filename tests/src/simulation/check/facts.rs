//! [`Facts`]: a history, indexed by servers, sessions, clients and frames.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::extras::Note;
use super::super::history::{
    Call, ClientNo, FrameNo, History, How, Numbers, Outcome, SessionNo, Tale, Way, What,
};

/// The index of an entry. A smaller index happened first.
pub(super) type When = usize;

/// A history, indexed by servers, sessions, clients and frames.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) frames: HashMap<FrameNo, FrameFacts>,
    pub(super) sessions: BTreeMap<SessionNo, SessionFacts>,
    pub(super) clients: BTreeMap<ClientNo, ClientFacts>,
    /// By their number; `None` for servers that are still running.
    pub(super) servers: BTreeMap<usize, Option<ServerEnd>>,
    /// Frames that answer a question: the asker gets them, and no callback and no event.
    pub(super) answers: HashSet<FrameNo>,
    /// The answers that have arrived.
    pub(super) replies: HashSet<FrameNo>,
    /// A limit has refused a request, and may keep out a client that no longer has a session.
    pub(super) is_full: bool,
    /// When the simulation came to rest.
    pub(super) rest: Option<When>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ServerEnd {
    pub(super) at: When,
    pub(super) left: usize,
    pub(super) crashed: bool,
}

#[derive(Debug)]
pub(super) struct FrameFacts {
    /// `None` for a broadcast.
    pub(super) way: Option<Way>,
    pub(super) how: Option<How>,
    pub(super) offered: When,
    pub(super) answered: Option<(When, Outcome)>,
}

#[derive(Debug)]
pub(super) struct SessionFacts {
    pub(super) server: usize,
    pub(super) client: ClientNo,
    /// As `on_connect` reported it.
    pub(super) plain: bool,
    pub(super) accepted: Vec<(FrameNo, When)>,
    /// `None` is the return of the previous call.
    pub(super) calls: Vec<(When, Option<Call>)>,
    pub(super) kicked: Option<When>,
    /// Answers to its questions that have come.
    pub(super) replies: u64,
    pub(super) quiet: Option<(bool, Numbers)>,
}

#[derive(Debug, Default)]
pub(super) struct ClientFacts {
    pub(super) plain: bool,
    pub(super) may_drop: bool,
    /// In the order in which they were offered.
    pub(super) offered: Vec<FrameNo>,
    pub(super) told: Vec<(When, Tale)>,
    pub(super) left: Option<When>,
    pub(super) ended: Option<(u64, Vec<FrameNo>)>,
    pub(super) quiet: Option<bool>,
}

impl Facts {
    pub(super) fn of(history: &History) -> Self {
        let mut facts = Self::default();
        for (at, entry) in history.entries.iter().enumerate() {
            facts.add(at, &entry.what);
        }
        facts
    }

    fn add(&mut self, at: When, what: &What) {
        match what {
            What::Rest => self.rest = Some(at),
            What::Note(note) => self.add_note(note),
            What::Order(_) | What::Sample { .. } | What::TasksLeft(_) | What::Stuck(_) => {}
            // Checked by themselves.
            What::Joined { .. } | What::LeftRoom { .. } | What::Missed { .. } => {}
            What::ServerStarted { server, .. } => {
                self.servers.insert(*server, None);
            }
            What::ServerEnded { server, left, crashed } => {
                let end = ServerEnd { at, left: *left, crashed: *crashed };
                self.servers.insert(*server, Some(end));
            }
            What::Asked { session, server, client } => {
                self.sessions.insert(*session, SessionFacts::new(*server, *client));
            }
            What::Callback { session, call } => {
                let Some(session) = self.sessions.get_mut(session) else { return };
                session.plain |= matches!(call, Call::Connect { plain: true });
                session.calls.push((at, Some(call.clone())));
            }
            What::Returned { session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.calls.push((at, None));
                }
            }
            What::Kicked { session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.kicked = Some(at);
                }
            }
            What::Offered { frame, way, how } => {
                let facts = FrameFacts { way: Some(*way), how: Some(*how), offered: at, answered: None };
                self.frames.insert(*frame, facts);
                if let Way::ToServer(client) = way {
                    let client = self.clients.entry(*client).or_default();
                    client.offered.push(*frame);
                    client.may_drop |= matches!(how, How::DropOldest | How::DropNewest);
                }
            }
            What::Broadcast { frame, .. } => {
                let facts = FrameFacts { way: None, how: None, offered: at, answered: None };
                self.frames.insert(*frame, facts);
            }
            What::Accepted { frame, session } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.accepted.push((*frame, at));
                }
            }
            What::Answered { frame, outcome } => {
                if let Some(frame) = self.frames.get_mut(frame) {
                    frame.answered = Some((at, *outcome));
                }
            }
            What::Connected { client, plain, may_drop } => {
                let client = self.clients.entry(*client).or_default();
                client.plain = *plain;
                client.may_drop |= may_drop;
            }
            What::Told { client, tale } => {
                self.clients.entry(*client).or_default().told.push((at, tale.clone()));
            }
            What::Left { client } => {
                self.clients.entry(*client).or_default().left.get_or_insert(at);
            }
            What::Ended { client, unacknowledged, kept } => {
                let client = self.clients.entry(*client).or_default();
                client.ended = Some((*unacknowledged, kept.clone()));
            }
            What::Quiet { session, attached, counts } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.quiet = Some((*attached, *counts));
                }
            }
            What::QuietClient { client, connected } => {
                self.clients.entry(*client).or_default().quiet = Some(*connected);
            }
        }
    }

    fn add_note(&mut self, note: &Note) {
        match note {
            Note::Answers { answer, .. } => {
                self.answers.insert(*answer);
            }
            Note::Replied { question, answer } => {
                self.replies.insert(*answer);
                let way = self.frames.get(question).and_then(|frame| frame.way);
                if let Some(Way::ToClient(session)) = way
                    && let Some(session) = self.sessions.get_mut(&session)
                {
                    session.replies += 1;
                }
            }
            Note::Limited { .. } => self.is_full = true,
            // Checked by themselves.
            _ => {}
        }
    }

    /// Whether a client has received everything there was to receive: it has not left, or only after the simulation came to rest.
    pub(super) fn heard_all(&self, client: ClientNo) -> bool {
        let Some(client) = self.clients.get(&client) else { return false };
        client.left.is_none_or(|left| self.rest.is_some_and(|rest| rest < left))
    }

    /// Whether the session was dropped together with its server.
    pub(super) fn was_dropped(&self, session: &SessionFacts) -> bool {
        let end = self.servers.get(&session.server).copied().flatten();
        end.is_some_and(|end| end.left > 0 || end.crashed) && session.disconnect().is_none()
    }
}

impl SessionFacts {
    fn new(server: usize, client: ClientNo) -> Self {
        Self {
            server,
            client,
            plain: false,
            accepted: Vec::new(),
            calls: Vec::new(),
            kicked: None,
            replies: 0,
            quiet: None,
        }
    }

    /// The callbacks of its application, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = (When, &Call)> {
        self.calls.iter().filter_map(|(at, call)| call.as_ref().map(|call| (*at, call)))
    }

    /// Its end, and its final counts.
    pub(super) fn disconnect(&self) -> Option<(super::super::history::End, Numbers)> {
        self.calls().find_map(|(_, call)| match call {
            Call::Disconnect { end, counts, .. } => Some((*end, *counts)),
            _ => None,
        })
    }

    /// How many messages, answers and missed frames its application has seen.
    pub(super) fn delivered(&self) -> u64 {
        let steps = self.calls().map(|(_, call)| match call {
            Call::Message(_) => 1,
            Call::Gap(from, to) => to + 1 - from,
            _ => 0,
        });
        self.replies + steps.sum::<u64>()
    }
}

impl FrameFacts {
    /// The entries between which a client's frame was accepted; `None` if it never was.
    pub(super) fn accepted(&self) -> Option<(When, When)> {
        match (self.how, self.answered) {
            (Some(How::Acked | How::Ask), Some((at, outcome))) => {
                (outcome != Outcome::Refused).then_some((self.offered, at))
            }
            (Some(How::Acked | How::Ask), None) => Some((self.offered, When::MAX)),
            (_, Some((at, Outcome::Accepted))) => Some((at, at)),
            _ => None,
        }
    }

    /// Whether a client's frame was certainly accepted, and its sender got no report that it was dropped or lost.
    pub(super) fn is_owed(&self) -> bool {
        matches!(self.answered, Some((_, Outcome::Accepted | Outcome::Delivered)))
    }

    /// Whether it was certainly accepted.
    pub(super) fn is_certain(&self) -> bool {
        // A question may end with its session before there was capacity for it.
        let may_wait = self.how == Some(How::Ask) && matches!(self.answered, Some((_, Outcome::Unknown)));
        !may_wait
            && matches!(
                self.answered,
                Some((_, Outcome::Accepted | Outcome::Delivered | Outcome::Dropped | Outcome::Unknown))
            )
    }
}
