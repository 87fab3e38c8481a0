//! Performs a plan.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rejoin_server::{Audience, Frame, Server};
use rejoin_store::{LogId, Store as _};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::super::super::check::Property;
use super::judge::judge;
use super::member::{self, Seat};
use super::process::Life;
use super::{Death, Gone, PATIENCE, Run, Step, Stores, handler};
use crate::harness::connect;
use crate::network::{Dials, Direction, Line};

/// The server, as long as it lives.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) server: Server,
    pub(super) how: Arc<Mutex<Gone>>,
}

impl Process {
    /// It is gone. Its tasks end, whatever they have still to do.
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
        let lines: Vec<_> = self.members.iter().map(|_| Line::to(&nowhere)).collect();
        let process: Current = Arc::new(Mutex::new(self.start(run, &lines)));
        let mut seats = Vec::new();
        for (number, (member, line)) in self.members.iter().zip(&lines).enumerate() {
            if self.is_sick_at_first {
                line.cut_at_random(member.seed, member.cuts);
            }
            let (seat, connection) = member::connect(run, number, line, member).await;
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
        let announcing = self.said.iter().enumerate().map(|(n, at)| {
            tokio::spawn(announce(run.clone(), process.clone(), said.clone(), n, begin + *at))
        });
        let announcing: Vec<_> = announcing.collect();
        for (at, step) in &self.steps {
            sleep_until(begin + *at).await;
            run.log(|| format!("{step:?}"));
            self.take(run, step, &process, &lines).await;
        }
        sleep_until(begin + self.span).await;
        run.log(|| "everything is healed".into());
        run.0.store.heal();
        lines.iter().for_each(Line::heal);
        let rests = async {
            for (seat, saying) in seats.iter().zip(saying) {
                let last = saying.await.expect("a member does not panic");
                seat.echoed.subscribe().wait_for(|echoed| *echoed == last).await.ok();
            }
        };
        if timeout(PATIENCE, rests).await.is_err() {
            run.wrong(Property::End, "not everything comes back".into());
        }
        sleep(Duration::from_secs(60)).await;
        announcing.iter().for_each(JoinHandle::abort);
        run.check_owners();
        self.check_states(run, &current(&process).server);
        // Everything is still there after a last restart.
        current(&process).bury(run, Gone { is_silent: false, is_known: true });
        *process.lock().unwrap_or_else(PoisonError::into_inner) = self.start(run, &lines);
        sleep(Duration::from_secs(30)).await;
        self.check_states(run, &current(&process).server);
        let heard: Vec<_> = seats.iter().map(|seat| seat.heard()).collect();
        let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        judge(self, &heard, &said, &mut run.0.findings.lock().unwrap_or_else(PoisonError::into_inner));
        end(run, &seats, &current(&process).server).await;
    }

    /// Every session is there, and has handled every input.
    fn check_states(&self, run: &Run, server: &Server) {
        for (number, member) in self.members.iter().enumerate() {
            let inputs = member.inputs.len() as u64 + 1;
            let state = server.connection(&format!("c{number}")).map(|connection| connection.state());
            let count = state.as_ref().map(|state| handler::count(state.as_deref()));
            if count != Some(inputs) {
                let text = format!("c{number} has handled {count:?} of {inputs} inputs");
                run.wrong(Property::Agreement, text);
            }
        }
        let members = server.connections(Audience::everyone()).len();
        if members != self.members.len() {
            run.wrong(Property::Agreement, format!("{members} sessions are left"));
        }
    }

    async fn take(&self, run: &Run, step: &Step, process: &Current, lines: &[Line]) {
        let old = current(process);
        let connected = || lines.iter().filter(|line| line.has_connection());
        let (how, down) = match *step {
            Step::Cut => {
                connected().for_each(Line::cut);
                return;
            }
            Step::Pause(time) => {
                old.life.pause(true);
                lines.iter().for_each(|line| line.set_dials(Dials::Held));
                connected().for_each(|line| Direction::BOTH.iter().for_each(|way| line.stall(*way)));
                sleep(time).await;
                old.life.pause(false);
                lines.iter().for_each(|line| {
                    line.set_dials(Dials::Served);
                    Direction::BOTH.iter().for_each(|way| line.release(*way));
                });
                return;
            }
            Step::Stop { killed, down } => {
                let stops = old.server.shutdown(Duration::from_secs(10));
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
        *process.lock().unwrap_or_else(PoisonError::into_inner) = self.start(run, lines);
    }
}

/// The server itself says something to all, and waits until it is committed.
async fn announce(
    run: Run,
    process: Current,
    said: Arc<Mutex<Vec<bool>>>,
    n: usize,
    at: tokio::time::Instant,
) {
    sleep_until(at).await;
    let Process { life, server, .. } = current(&process);
    if life.is_dead() {
        return;
    }
    run.log(|| format!("the server says {n}"));
    let frame = Frame::new("server", &(0_usize, n, 0_u64)).expect("JSON takes it");
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

async fn end(run: &Run, seats: &[Arc<Seat>], server: &Server) {
    run.0.is_over.store(true, Ordering::Relaxed);
    for seat in seats {
        seat.sender.close().await;
    }
    sleep(Duration::from_secs(1)).await;
    let records = run.ask_store(run.0.store.records(LogId(1), None, usize::MAX)).unwrap_or_default();
    let left = records.iter().filter(|record| !record.id.is_empty()).count();
    if left > 0 {
        let mut findings = run.0.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.add(Property::End, format!("{left} sessions are left in the store"));
    }
    server.shutdown(Duration::from_secs(5)).await;
}
