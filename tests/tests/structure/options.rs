//! The options of both builders, by the tables of their documentation: one name means one default and one range.

use std::collections::BTreeMap;
use std::fs;

use rejoin_tests::protocol::root;

/// The cells of each row of a table in a doc comment, by the option in the first.
fn table(source: &str, head: &str) -> BTreeMap<String, Vec<String>> {
    let rows = source.lines().skip_while(|line| *line != head).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix("/// |")?.strip_suffix('|'));
    let mut table = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').map(|cell| cell.trim().to_owned());
        let names = cells.next().expect("split yields one at least");
        let cells: Vec<_> = cells.collect();
        // Several options in one row have one default, and no range.
        for name in names.split('`').skip(1).step_by(2) {
            table.insert(name.to_owned(), cells.clone());
        }
    }
    table
}

const OPTIONS: &str = "/// | option | default | range |";
const REASONS: &str = "/// | option | here | server | reason |";

/// The contradictions between the tables, one line for each option.
fn contradictions(client: &str, server: &str) -> Vec<String> {
    let (ours, theirs, reasons) = (table(client, OPTIONS), table(server, OPTIONS), table(client, REASONS));
    assert!(ours.len() >= 10 && theirs.len() >= 10, "the tables of options were not found");
    let mut found = Vec::new();
    for (option, client) in &ours {
        let Some(server) = theirs.get(option) else { continue };
        let differing = || client.iter().zip(server).filter(|(client, server)| client != server);
        match reasons.get(option).map(Vec::as_slice) {
            None if differing().next().is_some() => found.push(format!("{option} has no reason to differ")),
            Some(_) if differing().next().is_none() => found.push(format!("{option} does not differ")),
            Some([here, there, reason]) => {
                let states =
                    differing().all(|(client, server)| here.contains(client) && there.contains(server));
                if !states || reason.is_empty() {
                    found.push(format!("the reason of {option} does not state what differs"));
                }
            }
            _ => {}
        }
    }
    let unknown =
        reasons.keys().filter(|option| !ours.contains_key(*option) || !theirs.contains_key(*option));
    found.extend(unknown.map(|option| format!("{option} is not an option of both")));
    found
}

fn builders() -> [String; 2] {
    ["client", "server"].map(|name| {
        let source = root().join(name).join("src");
        let mut files: Vec<_> =
            fs::read_dir(source.join("builder")).unwrap().map(|entry| entry.unwrap().path()).collect();
        // The table of options comes first, whatever the order of the others.
        files.insert(0, source.join("builder.rs"));
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    })
}

#[test]
fn builders_agree_on_their_common_options() {
    let [client, server] = builders();
    assert_eq!(contradictions(&client, &server), [""; 0]);
}

#[test]
fn documented_options_are_methods() {
    for source in builders() {
        for option in table(&source, OPTIONS).keys().filter(|option| !option.contains('-')) {
            assert!(
                source.contains(&format!("pub fn {option}("))
                    || source.contains(&format!("pub fn {option}<")),
                "{option}"
            );
        }
    }
}

#[test]
fn each_kind_of_contradiction_is_found() {
    let [client, server] = builders();
    let changed = |old: &str, new: &str| {
        assert!(server.contains(old), "{old}");
        contradictions(&client, &server.replace(old, new))
    };
    let row = |name: &str, cells: &str| format!("[`{name}`](Self::{name}) | {cells}");
    let timeout = row("write_timeout", "10 s");
    assert_eq!(changed(&timeout, &row("write_timeout", "9 s")), ["write_timeout has no reason to differ"]);
    let heartbeat = row("heartbeat", "10 s / 30 s");
    assert_eq!(changed(&heartbeat, &row("heartbeat", "20 s / 60 s")), ["heartbeat does not differ"]);
    assert_eq!(
        changed(&heartbeat, &row("heartbeat", "11 s / 30 s")),
        ["the reason of heartbeat does not state what differs"]
    );
    let renamed = row("pings", "10 s / 30 s");
    assert_eq!(changed(&heartbeat, &renamed), ["heartbeat is not an option of both"]);
}
