//! A model of a store, written as plainly as possible, and independently of the stores.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Attach, AttachError, Commit, CommitError, Committed, LogId, NodeId, OpenError, OpenWriter, Position,
    Touch, WriterKey,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelSession {
    pub(super) key: WriterKey,
    pub(super) log: LogId,
    pub(super) id: String,
    pub(super) epoch: u64,
    pub(super) attachment: u64,
    pub(super) owner: NodeId,
    pub(super) w: u64,
    pub(super) received: Option<u64>,
    pub(super) state: Bytes,
    pub(super) checkpoint: (u64, u64),
    pub(super) deadline: Option<u64>,
    opened: u64,
    last_request: (NodeId, u64, Outcome),
}

/// The effect of an attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Opened,
    Kept,
    Taken,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) sessions: Vec<ModelSession>,
    /// Log, writer, epoch, time, body; an entry's offset is its index within its log.
    pub(super) entries: Vec<(LogId, WriterKey, u64, u64, Bytes)>,
    pub(super) trimmed: Vec<(LogId, u64)>,
    leases: Vec<(NodeId, u64)>,
    buried: Vec<NodeId>,
    ends: Vec<(WriterKey, Option<(u64, u64)>)>,
}

impl Model {
    pub(super) fn last(&self, log: LogId) -> u64 {
        self.entries.iter().filter(|entry| entry.0 == log).count() as u64
    }

    pub(super) fn first(&self, log: LogId) -> u64 {
        self.trimmed.iter().filter(|trimmed| trimmed.0 == log).map(|trimmed| trimmed.1).max().unwrap_or(0)
    }

    fn append(&mut self, log: LogId, writer: WriterKey, epoch: u64, body: &Bytes) -> Option<u64> {
        if body.is_empty() {
            return None;
        }
        self.entries.push((log, writer, epoch, self.now, body.clone()));
        Some(self.last(log))
    }

    fn lives(&self, node: NodeId) -> bool {
        self.leases.iter().any(|lease| lease.0 == node && lease.1 > self.now)
    }

    fn find(&mut self, key: WriterKey) -> Option<&mut ModelSession> {
        self.sessions.iter_mut().find(|session| session.key == key)
    }

    pub(super) fn lease(&mut self, node: NodeId, ttl: u64) -> bool {
        self.leases.retain(|lease| lease.0 != node || self.buried.contains(&node));
        if !self.buried.contains(&node) {
            self.leases.push((node, self.now + ttl));
        }
        !self.buried.contains(&node)
    }

    pub(super) fn open(&mut self, open: &OpenWriter) -> Result<u64, OpenError> {
        if let Some(session) = self.find(open.key) {
            let same = session.last_request == (open.owner, open.nonce, Outcome::Opened);
            return same.then_some(session.opened).ok_or(OpenError::KeyTaken);
        }
        if !self.lives(open.owner) {
            return Err(OpenError::NoLease);
        }
        if self.ends.iter().any(|end| end.0 == open.key) {
            return Err(OpenError::KeyTaken);
        }
        if self
            .sessions
            .iter()
            .any(|session| session.log == open.log && *session.id == *open.id && !open.id.is_empty())
        {
            return Err(OpenError::IdTaken);
        }
        let opened = self.append(open.log, open.key, 1, &open.body).unwrap_or_else(|| self.last(open.log));
        self.sessions.push(ModelSession {
            key: open.key,
            log: open.log,
            id: open.id.to_string(),
            epoch: 1,
            attachment: 1,
            owner: open.owner,
            w: 0,
            received: None,
            state: Bytes::new(),
            checkpoint: (opened, 0),
            deadline: None,
            opened,
            last_request: (open.owner, open.nonce, Outcome::Opened),
        });
        Ok(opened)
    }

    /// An attach, or an adoption: the attachment or epoch, and its effect.
    pub(super) fn attach(&mut self, attach: &Attach, adopts: bool) -> Result<Outcome, AttachError> {
        let (now, caller_lives) = (self.now, self.lives(attach.to));
        let Some(session) = self.find(attach.key).cloned() else { return Err(AttachError::Unknown) };
        let owner_lives = self.lives(session.owner);
        let is_own = session.owner == attach.to;
        if !adopts && session.proof_differs(attach) {
            return Err(AttachError::Secret);
        }
        let is_mine = is_own && attach.mine == Some(session.epoch);
        if adopts && is_mine {
            return Ok(Outcome::Kept);
        }
        if (session.last_request.0, session.last_request.1) == (attach.to, attach.nonce) && is_own {
            return match session.last_request.2 {
                Outcome::Opened => Err(AttachError::Late),
                outcome => Ok(outcome),
            };
        }
        if is_own && attach.nonce < session.last_request.1 {
            return Err(AttachError::Late);
        }
        if !caller_lives {
            return Err(AttachError::NoLease);
        }
        let is_over = session.deadline.is_some_and(|deadline| deadline <= now);
        if adopts && !is_own && owner_lives && !is_over {
            return Err(AttachError::Owned);
        }
        if adopts && !is_own && !owner_lives {
            self.buried.push(session.owner);
        }
        let takes = adopts || !is_mine;
        if takes {
            self.append(session.log, attach.key, session.epoch + 1, &attach.moved);
        }
        let outcome = if takes { Outcome::Taken } else { Outcome::Kept };
        if let Some(session) = self.find(attach.key) {
            if !adopts {
                session.attachment += 1;
                session.deadline = None;
            }
            if takes {
                (session.epoch, session.w, session.owner) = (session.epoch + 1, 0, attach.to);
            }
            session.last_request = (attach.to, attach.nonce, outcome);
        }
        Ok(outcome)
    }

    pub(super) fn commit(&mut self, commit: &Commit) -> Result<Committed, CommitError> {
        let ended = self.ends.iter().find(|end| end.0 == commit.writer).and_then(|end| end.1);
        let Some(session) = self.find(commit.writer) else {
            let own = ended.is_some_and(|(epoch, w)| epoch == commit.fence.epoch && commit.fence.w <= w);
            return if own { Ok(Committed::Already) } else { Err(CommitError::Fenced) };
        };
        if session.epoch != commit.fence.epoch {
            return Err(CommitError::Fenced);
        }
        if commit.fence.w <= session.w {
            return Ok(Committed::Already);
        }
        if commit.fence.w > session.w + 1 {
            return Err(CommitError::OutOfOrder);
        }
        session.w += 1;
        session.received = session.received.max(commit.received);
        if let Some(state) = &commit.state {
            session.state = state.clone();
        }
        let log = session.log;
        let offset = self.append(log, commit.writer, commit.fence.epoch, &commit.body);
        for key in &commit.ends {
            let before = self.sessions.len();
            self.sessions.retain(|session| session.key != *key || session.log != log);
            if self.sessions.len() < before {
                let by = (*key == commit.writer).then_some((commit.fence.epoch, commit.fence.w));
                self.ends.push((*key, by));
            }
        }
        Ok(offset.map_or(Committed::Recorded, |offset| Committed::At(Position { generation: 0, offset })))
    }

    pub(super) fn touch(&mut self, touch: &Touch) {
        let now = self.now;
        let Some(log) = self.find(touch.key).map(|session| session.log) else { return };
        let last = self.last(log);
        let Some(session) = self.find(touch.key) else { return };
        if (session.epoch, session.attachment) != (touch.epoch, touch.attachment) {
            return;
        }
        if let Some(checkpoint) = &touch.checkpoint {
            let (offset, number) = (checkpoint.position.offset, checkpoint.number);
            if (session.checkpoint.0 + 1..=last).contains(&offset) && number >= session.checkpoint.1 {
                session.checkpoint = (offset, number);
            }
        }
        if let Some(window) = touch.ends_in {
            session.deadline = Some(now + crate::rules::millis(window));
        }
    }

    pub(super) fn expired(&self, log: LogId, window: Duration) -> Vec<WriterKey> {
        let is_over = |session: &&ModelSession| match session.deadline {
            Some(deadline) => deadline <= self.now,
            None => {
                let lease = self.leases.iter().find(|lease| lease.0 == session.owner);
                lease.is_none_or(|lease| lease.1 + crate::rules::millis(window) <= self.now)
            }
        };
        let mut keys: Vec<_> = self
            .sessions
            .iter()
            .filter(|session| session.log == log)
            .filter(is_over)
            .map(|session| session.key)
            .collect();
        keys.sort();
        keys
    }

    pub(super) fn trim(&mut self, log: LogId, age: u64) {
        let needed = self.sessions.iter().filter(|session| session.log == log && !session.id.is_empty());
        let needed = needed.map(|session| session.checkpoint.0).min().unwrap_or(u64::MAX);
        let entries: Vec<_> = self.entries.iter().filter(|entry| entry.0 == log).collect();
        let mut first = self.first(log);
        while first < needed && entries.get(first as usize).is_some_and(|entry| entry.3 < self.now - age) {
            first += 1;
        }
        self.trimmed.push((log, first));
    }
}

impl ModelSession {
    /// Whether the request's secret is wrong: all sessions of a run have the same one.
    fn proof_differs(&self, attach: &Attach) -> bool {
        attach.proof != super::subject::SECRET
    }
}
