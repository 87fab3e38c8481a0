//! The outcomes, as a text file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use crate::tree::Tree;
use crate::trial::Outcome;
use crate::viable::Mutant;
use crate::{Error, Options};

#[derive(Default)]
struct Row {
    tried: usize,
    caught: usize,
    time_outs: usize,
    survived: usize,
}

pub(crate) fn write(
    options: &Options,
    tree: &Tree,
    viable: usize,
    outcomes: &[(Mutant, Outcome)],
) -> Result<(), Error> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (mutant, outcome) in outcomes {
        for name in [part(&mutant.path), "sum".to_owned()] {
            let row = rows.entry(name).or_default();
            row.tried += 1;
            match outcome {
                Outcome::Caught(_) => row.caught += 1,
                Outcome::TimeOut(_) => row.time_outs += 1,
                Outcome::Survived(_) => row.survived += 1,
            }
        }
    }
    let mut text = format!(
        "seed {}, {} of {viable} viable mutants, on {}\n\n{:<20} tried caught time-out survived\n",
        options.seed,
        outcomes.len(),
        tree.commit,
        "part"
    );
    for (name, row) in &rows {
        let Row { tried, caught, time_outs, survived } = row;
        writeln!(text, "{name:<20} {tried:5} {caught:6} {time_outs:8} {survived:8}")?;
    }
    print!("\n{text}");
    let mut sections: [Vec<String>; 3] = Default::default();
    for (mutant, outcome) in outcomes {
        let section = match outcome {
            Outcome::Survived(_) => 0,
            Outcome::TimeOut(_) => 1,
            Outcome::Caught(_) => 2,
        };
        sections[section].push(format!("{mutant}: {outcome}"));
    }
    for mut section in sections {
        section.sort();
        writeln!(text, "\n{}", section.join("\n"))?;
    }
    Ok(fs::write(&options.out, text)?)
}

/// `core/src/ws/mask.rs` is a part of `core/ws`, `server/src/fanout/rooms.rs` of `server`.
fn part(path: &str) -> String {
    let mut parts = path.split('/');
    let (crate_, folder) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    let folder = folder.trim_end_matches(".rs");
    if crate_ == "core" { format!("{crate_}/{folder}") } else { crate_.to_owned() }
}
