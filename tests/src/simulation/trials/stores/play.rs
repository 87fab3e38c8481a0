//! Performs a plan.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rejoin_server::{Audience, Frame, Server};
use rejoin_store::Store as _;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::super::super::check::Property;
use super::judge::judge;
use super::member::{self, Seat};
use super::process::Life;
use super::routes::Routes;
use super::{Death, Gone, PATIENCE, Run, Step, Stores, handler};
use crate::harness::connect;
use crate::network::{Direction, Line};

/// The server, as long as it lives.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) server: Server,
    pub(super) how: Arc<Mutex<Gone>>,
}

impl Process {
    /// The process is gone. Its tasks end, even if they have work left.
    fn bury(&self, run: &Run, how: Gone) {
        *self.how.lock().unwrap_or_else(PoisonError::into_inner) = how;
        self.life.kill();
        let server = self.server.clone();
        tokio::spawn(async move { server.shutdown(Duration::ZERO).await });
        if let Some(node) = self.life.node().filter(|_| how.is_known) {
            run.ask_store(run.0.store.lease(node, Duration::ZERO)).ok();
        }
    }
}

/// The process that runs now.
type Current = Arc<Mutex<Process>>;

fn current(process: &Current) -> Process {
    process.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Stores {
    pub(super) async fn carry_out(&self, run: &Run) {
        if self.is_sick_at_first {
            self.sicken(run);
        }
        let nowhere = Server::builder(connect).build().expect("the defaults are in their ranges");
        let routes = Routes::new(self.members.len(), self.servers, &nowhere);
        let processes: Vec<Current> =
            (0..self.servers).map(|index| Arc::new(Mutex::new(self.start(run, &routes, index)))).collect();
        let mut seats = Vec::new();
        for (number, (member, line)) in self.members.iter().zip(routes.lines()).enumerate() {
            if self.is_sick_at_first {
                line.cut_at_random(member.seed, member.cuts);
            }
            let (seat, connection) = member::connect(run, number, line, member, self.realm).await;
            tokio::spawn(member::receive(run.clone(), seat.clone(), connection));
            for direction in Direction::BOTH {
                line.set_latency(direction, member.latency);
            }
            line.cut_at_random(member.seed, member.cuts);
            seats.push(seat);
        }
        self.sicken(run);
        let begin = tokio::time::Instant::now();
        let saying: Vec<JoinHandle<u64>> = seats
            .iter()
            .zip(&self.members)
            .map(|(seat, member)| tokio::spawn(member::say(run.clone(), seat.clone(), member.inputs.clone())))
            .collect();
        let said = Arc::new(Mutex::new(vec![false; self.said.len()]));
        let announcing = self.said.iter().enumerate().map(|(n, (at, server))| {
            let process = processes[*server].clone();
            tokio::spawn(announce(run.clone(), *server, process, self.realm, said.clone(), n, begin + *at))
        });
        let announcing: Vec<_> = announcing.collect();
        let (on, between, moves) = (run.clone(), routes.clone(), self.moves.clone());
        let moving = tokio::spawn(async move {
            for (at, line, to, lost) in moves {
                sleep_until(begin + at).await;
                between.lead(&on, line, to, lost);
            }
        });
        for (at, server, step) in &self.steps {
            sleep_until(begin + *at).await;
            run.log(|| format!("n{server}: {step:?}"));
            self.take(run, step, &processes[*server], *server, &routes).await;
        }
        sleep_until(begin + self.span).await;
        moving.await.expect("it does not panic");
        run.log(|| "everything is healed".into());
        run.0.store.heal();
        routes.lines().iter().for_each(Line::heal);
        let rests = async {
            for (seat, saying) in seats.iter().zip(saying) {
                let last = saying.await.expect("a member does not panic");
                seat.echoed.subscribe().wait_for(|echoed| *echoed == last).await.ok();
            }
        };
        if timeout(PATIENCE, rests).await.is_err() {
            run.wrong(Property::End, "not everything comes back".into());
        }
        // Longer than a lease: a server that was killed unknown to its store begins anew once that has passed.
        sleep(Duration::from_secs(90)).await;
        announcing.iter().for_each(JoinHandle::abort);
        run.check_owners();
        self.check_states(run, &processes);
        // Everything is still there after a last restart.
        for process in &processes {
            if self.hands_over {
                current(process).server.shutdown(Duration::from_secs(10)).await;
            }
            current(process).bury(run, Gone { is_silent: false, is_known: true });
        }
        for (index, process) in processes.iter().enumerate() {
            *process.lock().unwrap_or_else(PoisonError::into_inner) = self.start(run, &routes, index);
        }
        sleep(Duration::from_secs(30)).await;
        self.check_states(run, &processes);
        let heard: Vec<_> = seats.iter().map(|seat| seat.heard()).collect();
        let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        judge(self, &heard, &said, &mut run.0.findings.lock().unwrap_or_else(PoisonError::into_inner));
        end(run, &seats, &processes).await;
    }

    /// Every session is at one of the servers, and has handled every input.
    fn check_states(&self, run: &Run, processes: &[Current]) {
        let servers = processes.iter().map(|process| current(process).server.realm(self.realm));
        let servers: Vec<_> = servers.collect();
        for (number, member) in self.members.iter().enumerate() {
            let inputs = member.inputs.len() as u64 + 1;
            let id = format!("c{number}");
            let state = servers.iter().find_map(|server| server.connection(&id)).map(|found| found.state());
            let count = state.as_ref().map(|state| handler::count(state.as_deref()));
            if count != Some(inputs) {
                let text = format!("c{number} has handled {count:?} of {inputs} inputs");
                run.wrong(Property::Agreement, text);
            }
        }
        let members: usize =
            servers.iter().map(|server| server.connections(Audience::everyone()).len()).sum();
        if members != self.members.len() {
            run.wrong(Property::Agreement, format!("{members} sessions are left"));
        }
    }

    async fn take(&self, run: &Run, step: &Step, process: &Current, index: usize, routes: &Routes) {
        let old = current(process);
        let (how, down) = match *step {
            Step::Cut => {
                routes.cut();
                return;
            }
            Step::Pause(time) => {
                old.life.pause(true);
                routes.pause(index, true);
                sleep(time).await;
                old.life.pause(false);
                routes.pause(index, false);
                return;
            }
            Step::Stop { killed, down } => {
                // With `Durability::Handover`, the shutdown waits for the store.
                let patience = Duration::from_secs(if self.hands_over { 100 } else { 10 });
                let stops = old.server.shutdown(patience);
                timeout(killed.unwrap_or(PATIENCE), stops).await.ok();
                (Gone { is_silent: false, is_known: true }, down)
            }
            Step::Kill { death, how, down } => {
                *old.how.lock().unwrap_or_else(PoisonError::into_inner) = how;
                if let Death::WithCall(after, is_applied) = death {
                    old.life.die_with_call(after, is_applied);
                    timeout(Duration::from_secs(20), old.life.died()).await.ok();
                }
                (how, down)
            }
        };
        old.bury(run, how);
        sleep(down).await;
        *process.lock().unwrap_or_else(PoisonError::into_inner) = self.start(run, routes, index);
    }
}

/// The server itself broadcasts to everyone, and waits for the commit.
async fn announce(
    run: Run,
    number: usize,
    process: Current,
    realm: &'static str,
    said: Arc<Mutex<Vec<bool>>>,
    n: usize,
    at: tokio::time::Instant,
) {
    sleep_until(at).await;
    let Process { life, server, .. } = current(&process);
    if life.is_dead() {
        return;
    }
    let server = server.realm(realm);
    run.log(|| format!("n{number} says {n}"));
    let frame = Frame::new("server", &(number, n, 0_u64)).expect("JSON takes it");
    if server.broadcast(Audience::everyone(), &frame).is_err() {
        // It is shut down.
        return;
    }
    server.committed().await;
    if !life.is_dead() {
        run.log(|| format!("{n} is committed"));
        said.lock().unwrap_or_else(PoisonError::into_inner)[n] = true;
    }
}

async fn end(run: &Run, seats: &[Arc<Seat>], processes: &[Current]) {
    run.0.is_over.store(true, Ordering::Relaxed);
    for seat in seats {
        seat.sender.close().await;
    }
    sleep(Duration::from_secs(1)).await;
    let left = run.records().iter().filter(|record| !record.id.is_empty()).count();
    if left > 0 {
        let mut findings = run.0.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.add(Property::End, format!("{left} sessions are left in the store"));
    }
    for process in processes {
        current(process).server.shutdown(Duration::from_secs(5)).await;
    }
}
