//! [`Routes`]: which server each client's line leads to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_server::Server;

use super::Run;
use crate::network::{Condition, Dials, Direction, Line};

/// The lines of the clients, and the servers to which they lead: a load balancer.
#[derive(Clone)]
pub(super) struct Routes(Arc<Inner>);

struct Inner {
    lines: Vec<Line>,
    state: Mutex<State>,
}

struct State {
    /// By line: the index of its server.
    leads_to: Vec<usize>,
    /// By server.
    servers: Vec<Place>,
}

#[derive(Clone)]
struct Place {
    server: Option<Server>,
    dials: Dials,
}

impl Routes {
    /// Lines that lead to nobody yet: `nowhere`. Line `i` will lead to server `i` modulo their number.
    pub(super) fn new(lines: usize, servers: usize, nowhere: &Server) -> Self {
        let state = State {
            leads_to: (0..lines).map(|line| line % servers).collect(),
            servers: vec![Place { server: None, dials: Dials::Refused }; servers],
        };
        let lines = (0..lines).map(|_| Line::to(nowhere)).collect();
        Self(Arc::new(Inner { lines, state: Mutex::new(state) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.0.lines
    }

    /// The lines that lead to this server.
    fn of(&self, server: usize) -> Vec<Line> {
        let state = self.lock();
        let all = state.leads_to.iter().zip(&self.0.lines);
        all.filter(|(leads_to, _)| **leads_to == server).map(|(_, line)| line.clone()).collect()
    }

    /// A server has started.
    pub(super) fn start(&self, index: usize, server: &Server) {
        self.lock().servers[index] = Place { server: Some(server.clone()), dials: Dials::Served };
        for line in self.of(index) {
            line.lead_to(server);
            line.set_dials(Dials::Served);
        }
    }

    /// A server has died. Its clients see it, unless the machine has gone, too.
    pub(super) fn die(&self, index: usize, is_silent: bool) {
        self.lock().servers[index].dials = Dials::Refused;
        for line in self.of(index) {
            line.set_dials(Dials::Refused);
            if line.has_connection() {
                line.fail(if is_silent { Condition::HalfOpen } else { Condition::Reset });
            }
        }
    }

    /// A server is stopped for a while, or continues.
    pub(super) fn pause(&self, index: usize, is_paused: bool) {
        let dials = if is_paused { Dials::Held } else { Dials::Served };
        self.lock().servers[index].dials = dials;
        for line in self.of(index) {
            line.set_dials(dials);
            if is_paused && line.has_connection() {
                Direction::BOTH.iter().for_each(|way| line.stall(*way));
            }
            if !is_paused {
                Direction::BOTH.iter().for_each(|way| line.release(*way));
            }
        }
    }

    /// Leads a line to another server. Its connection is lost in this way, or left as it is.
    pub(super) fn lead(&self, run: &Run, line: usize, to: usize, lost: Option<Condition>) {
        let place = {
            let mut state = self.lock();
            state.leads_to[line] = to;
            state.servers[to].clone()
        };
        run.log(|| format!("c{line} is led to n{to}: {lost:?}"));
        let line = &self.0.lines[line];
        Direction::BOTH.iter().for_each(|way| line.release(*way));
        if let Some(server) = &place.server {
            line.lead_to(server);
        }
        line.set_dials(place.dials);
        if let Some(lost) = lost.filter(|_| line.has_connection()) {
            line.fail(lost);
        }
    }

    pub(super) fn cut(&self) {
        self.0.lines.iter().filter(|line| line.has_connection()).for_each(Line::cut);
    }
}
