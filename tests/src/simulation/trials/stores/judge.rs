//! Checks that each member got every expected frame, exactly once and in order.

use std::collections::HashMap;

use super::super::super::check::{Findings, Property};
use super::Stores;
use super::member::{Heard, Kind};

/// Checks the frames of all members. `said` contains, for each of the server's own announcements, whether it was committed.
pub(super) fn judge(plan: &Stores, heard: &[Vec<Heard>], said: &[bool], findings: &mut Findings) {
    for (to, all) in heard.iter().enumerate() {
        for (by, _) in plan.members.iter().enumerate() {
            from_member(plan, to, by, all, findings);
        }
        for server in 0..plan.servers {
            from_server(to, server, all, plan, said, findings);
        }
    }
    effects(heard, findings);
    rooms(plan, heard, findings);
    aside(plan, heard, findings);
}

/// The frames from `by` that `to` has to receive, through whichever room.
fn owed(plan: &Stores, to: usize, by: usize) -> Vec<(&'static str, u64)> {
    let mut owed = Vec::new();
    let is_home = plan.members[to].room == plan.members[by].room;
    let inputs = &plan.members[by].inputs;
    for (n, input) in (1..).zip(inputs) {
        match input.kind {
            Kind::Echo if to == by => owed.push(("echo", n)),
            Kind::Acked if to == by => owed.push(("acked", n)),
            Kind::Slow(_) if to == by => owed.push(("slow", n)),
            Kind::AskBack if to == by => owed.push(("asked", n)),
            Kind::Say if is_home => owed.push(("say", n)),
            Kind::SayToOthers if to == by => owed.push(("others echo", n)),
            Kind::SayToOthers if is_home => owed.push(("others", n)),
            Kind::Tell(other) if other == to => owed.push(("told", n)),
            _ => {}
        }
    }
    if to == by {
        owed.push(("end", inputs.len() as u64 + 1));
    }
    owed
}

/// The second room's events.
fn is_aside(event: &str) -> bool {
    matches!(event, "aside" | "joined" | "leaves")
}

fn from_member(plan: &Stores, to: usize, by: usize, all: &[Heard], findings: &mut Findings) {
    let of_member = all.iter().filter(|heard| heard.by == by && heard.event != "server");
    let got: Vec<(&str, u64)> = of_member
        .clone()
        .filter(|heard| !is_aside(&heard.event))
        .map(|heard| (&*heard.event, heard.n))
        .collect();
    let owed = owed(plan, to, by);
    if got != owed {
        let place = got.iter().zip(&owed).take_while(|(got, owed)| got == owed).count();
        let text = format!(
            "c{to} hears {:?} of c{by}, where {:?} is next (place {place}, {} of {})",
            got.get(place),
            owed.get(place),
            got.len(),
            owed.len()
        );
        let property = match (got.get(place), owed.get(place)) {
            (Some(got), _) if owed[..place].contains(got) => Property::Once,
            (Some(got), Some(_)) if owed.contains(got) => Property::NothingLostSilently,
            (None, _) => Property::NothingLostSilently,
            _ => Property::Genuine,
        };
        findings.add(property, text);
    }
    // In the second room each is heard once at most, and all together are in their order.
    if !of_member.clone().map(|heard| heard.n).is_sorted() {
        findings.add(Property::Order, format!("c{to} hears c{by} out of order"));
    }
}

/// Committed frames arrive; others may or may not. No frame arrives twice, or out of order.
fn from_server(
    to: usize,
    server: usize,
    all: &[Heard],
    plan: &Stores,
    said: &[bool],
    findings: &mut Findings,
) {
    let of_server = all.iter().filter(|heard| heard.event == "server" && heard.by == server);
    let got: Vec<_> = of_server.map(|heard| heard.n).collect();
    if !got.is_sorted_by(|one, next| one < next) {
        findings.add(Property::Order, format!("c{to} hears n{server} out of order, or twice: {got:?}"));
    }
    for (n, _) in said.iter().enumerate().filter(|(_, is_committed)| **is_committed) {
        if plan.said[n].1 == server && !got.contains(&(n as u64)) {
            let text = format!("c{to} does not hear {n} of n{server}, which was committed");
            findings.add(Property::NothingLostSilently, text);
        }
    }
}

/// All outputs of an input are of one run of its handler.
fn effects(heard: &[Vec<Heard>], findings: &mut Findings) {
    let mut runs = HashMap::new();
    for (to, all) in heard.iter().enumerate() {
        for Heard { event, by, n, run } in all.iter().filter(|heard| heard.event != "server") {
            let first = *runs.entry((*by, *n)).or_insert(*run);
            if first != *run {
                let text =
                    format!("c{to}: {event} {n} of c{by} is of run {run}, and was heard of run {first}");
                findings.add(Property::Effects, text);
            }
        }
    }
}

/// All members of a home room hear it in one order.
fn rooms(plan: &Stores, heard: &[Vec<Heard>], findings: &mut Findings) {
    let mut orders: HashMap<usize, (usize, Vec<(usize, u64)>)> = HashMap::new();
    for (to, all) in heard.iter().enumerate() {
        let order: Vec<_> =
            all.iter().filter(|heard| heard.event == "say").map(|heard| (heard.by, heard.n)).collect();
        let (first, expected) =
            orders.entry(plan.members[to].room).or_insert_with(|| (to, order.clone())).clone();
        if order != expected {
            findings.add(Property::Broadcasts, format!("c{to} and c{first} hear their room in two orders"));
        }
    }
}

/// A member that hears something in the second room hears everything from its own `joined` to its own `leaves`, and nothing else. With
/// `Durability::Handover`, a join is applied before `joined` is broadcast.
fn aside(plan: &Stores, heard: &[Vec<Heard>], findings: &mut Findings) {
    // If one member gets two frames of the room in succession, then so does every other member.
    let mut next: HashMap<(usize, u64), (usize, u64)> = HashMap::new();
    for (to, all) in heard.iter().enumerate() {
        let mut last = None;
        for frame in all.iter().filter(|heard| is_aside(&heard.event)) {
            let here = (frame.by, frame.n);
            match last {
                None if (frame.event != "joined" || frame.by != to) && !plan.hands_over => {
                    let text = format!("c{to} hears {frame:?}, and is no member");
                    findings.add(Property::Audiences, text);
                }
                None => {}
                Some(last) => {
                    let follows = *next.entry(last).or_insert(here);
                    if follows != here {
                        let text =
                            format!("c{to}: {here:?} follows {last:?}, and {follows:?} does elsewhere");
                        findings.add(Property::Broadcasts, text);
                    }
                }
            }
            last = if frame.event == "leaves" && frame.by == to { None } else { Some(here) };
        }
    }
}
