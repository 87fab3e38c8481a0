//! The order of a client's events (docs of `rejoin_client::Event`).

use super::super::history::{End, Tale};
use super::facts::Facts;
use super::{Findings, Property};

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for (number, client) in &facts.clients {
        let mut bad = |text: String| findings.add(Property::Tales, format!("c{number}: {text}"));
        let (mut away, mut lost, mut over) = (false, false, false);
        for (at, tale) in &client.told {
            if over {
                bad(format!("{tale} after the end"));
            }
            if client.left.is_some_and(|left| *at > left) {
                bad(format!("{tale} after its own close"));
            }
            match tale {
                Tale::Dropped(_) if away => bad("dropped twice".into()),
                Tale::Dropped(_) => away = true,
                Tale::Lost(_) if !away || lost => bad("lost while connected".into()),
                Tale::Lost(_) => lost = true,
                Tale::Restored { .. } if !away => bad("restored without a drop".into()),
                Tale::Restored { resumed } if *resumed == (lost || client.plain) => {
                    bad(format!("{tale}, which is not true"));
                }
                Tale::Restored { .. } => (away, lost) = (false, false),
                Tale::Message(_) | Tale::Gap(..) if away => bad(format!("{tale} before it is restored")),
                Tale::Message(_) | Tale::Gap(..) => {}
                Tale::Closed { .. } => over = true,
            }
        }
        for (_, tale) in &client.told {
            if let Tale::Closed { why, end: End::Accused } = tale {
                findings.add(Property::Accusations, format!("c{number}: {why}"));
            }
        }
    }
}
