//! [`EventLog`]: the observed steps of a client, with their times.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::time::Instant;

/// The steps that were observed at one place, in order: on the wire, or by the application. The order between the two is not observed.
#[derive(Clone)]
pub(super) struct EventLog {
    began: Instant,
    seen: Arc<Mutex<VecDeque<Value>>>,
}

impl EventLog {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, seen: Arc::default() }
    }

    /// Adds an output, with the time.
    pub(super) fn add(&self, mut what: Value) {
        what["at"] = json!(u64::try_from(self.began.elapsed().as_millis()).unwrap());
        self.seen.lock().unwrap().push_back(what);
    }

    pub(super) fn pop(&self) -> Option<Value> {
        self.seen.lock().unwrap().pop_front()
    }

    pub(super) fn peek(&self) -> Option<Value> {
        self.seen.lock().unwrap().front().cloned()
    }
}
