//! The callbacks of a server (docs of `rejoin_server::Builder`): their order, and that they do not overlap.

use rejoin_server::CloseReason;

use super::super::history::{Call, End, SessionNo};
use super::facts::{Facts, SessionFacts};
use super::{Findings, Property};

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for (&number, session) in &facts.sessions {
        order(number, session, findings);
        serial(number, session, findings);
        end(number, session, facts, findings);
        counted(number, session, findings);
    }
}

fn order(number: SessionNo, session: &SessionFacts, findings: &mut Findings) {
    let mut bad = |text: String| findings.add(Property::Callbacks, format!("s{number}: {text}"));
    let (mut connected, mut away, mut over) = (false, false, false);
    // A kick names an ID. If another connection had just taken that ID, the kick ended that one.
    let replaced = session.calls().any(|(_, call)| {
        matches!(call, Call::Disconnect { why, .. } if *why == CloseReason::Duplicate.to_string())
    });
    let kicked = session.kicked.filter(|_| !replaced);
    for (at, call) in session.calls() {
        if over {
            bad(format!("{call} after disconnect"));
        }
        match call {
            Call::Connect { .. } if connected => bad("connect twice".into()),
            Call::Connect { .. } => connected = true,
            _ if !connected => bad(format!("{call} before connect")),
            Call::Drop(_) if away => bad("drop twice".into()),
            Call::Drop(_) => away = true,
            Call::Restore if !away => bad("restore without a drop".into()),
            Call::Restore => away = false,
            Call::Message(_) | Call::Gap(..) if away => bad(format!("{call} before restore")),
            Call::Message(_) if kicked.is_some_and(|kicked| at > kicked) => {
                bad(format!("{call} after a kick"));
            }
            Call::Message(_) | Call::Gap(..) => {}
            Call::Disconnect { .. } => over = true,
        }
    }
}

/// Each callback starts after the previous one has returned.
fn serial(number: SessionNo, session: &SessionFacts, findings: &mut Findings) {
    let mut running = false;
    for (_, call) in &session.calls {
        if running && call.is_some() {
            let text = format!("s{number}: a callback begins while another runs");
            findings.add(Property::Callbacks, text);
        }
        running = call.is_some();
    }
}

/// `on_disconnect` is called, and no callback follows the end of the server.
fn end(number: SessionNo, session: &SessionFacts, facts: &Facts, findings: &mut Findings) {
    let Some(server) = facts.servers.get(&session.server).copied().flatten() else { return };
    if let Some((_, call)) = session.calls().find(|(at, _)| *at > server.at) {
        let text = format!("s{number}: {call} after the server has ended");
        findings.add(Property::Callbacks, text);
    }
    if session.calls().next().is_some() && session.disconnect().is_none() && server.left == 0 {
        findings.add(Property::Callbacks, format!("s{number}: no disconnect"));
    }
}

/// Frames that were counted as received were delivered before `on_disconnect`, unless the application had closed the session.
fn counted(number: SessionNo, session: &SessionFacts, findings: &mut Findings) {
    let Some((end, counts)) = session.disconnect() else { return };
    if end == End::Accused {
        findings.add(Property::Accusations, format!("s{number} has ended by a mistake"));
    }
    let delivered = session.delivered() + counts.strays;
    if delivered > counts.received || (delivered < counts.received && end != End::Deaf) {
        let text = format!("s{number}: {} were received, {delivered} delivered", counts.received);
        findings.add(Property::NothingLostSilently, text);
    }
}
