//! Real servers and clients over in-memory lines, each run from one seed: the promises of PROTOCOL.md §6 hold, and the same seed
//! gives the same history. `cargo run --release -p rejoin-tests --bin simulate` runs more seeds.

use std::sync::{Arc, Mutex, PoisonError};

use rejoin_tests::simulation::{Call, History, Note, Size, Trial, What, check, run};

#[test]
fn hundreds_of_small_schedules_keep_all_promises() {
    let histories = hold(Size::Small, 0..200);
    for (what, is_it) in WANTED {
        let times = histories.iter().flat_map(|history| &history.entries).filter(|entry| is_it(&entry.what));
        assert!(times.count() > 5, "hardly any {what}: nothing is proved about it");
    }
}

/// Events that hundreds of schedules must produce, or their properties are checked against nothing.
#[expect(clippy::type_complexity, reason = "a table")]
const WANTED: [(&str, fn(&What) -> bool); 12] = [
    ("answer", |what| matches!(what, What::Note(Note::Replied { .. }))),
    ("join", |what| matches!(what, What::Note(Note::Join { .. }))),
    ("leave", |what| matches!(what, What::Note(Note::Leave { .. }))),
    ("absence", |what| matches!(what, What::Note(Note::Presence { away: true, .. }))),
    ("return", |what| matches!(what, What::Note(Note::Presence { away: false, .. }))),
    ("list of members", |what| matches!(what, What::Note(Note::Rooms { .. }))),
    ("refused newcomer", |what| matches!(what, What::Note(Note::Limited { .. }))),
    ("end of credentials", |what| is_drop(what, "credentials expired")),
    ("forbidden session", |what| matches!(what, What::Note(Note::Forbidden { .. }))),
    ("drain", |what| matches!(what, What::Note(Note::Draining { .. }))),
    ("end of a drain", |what| matches!(what, What::Note(Note::Drained { .. }))),
    ("drained socket", |what| is_drop(what, "the server drains")),
];

fn is_drop(what: &What, words: &str) -> bool {
    matches!(what, What::Callback { call: Call::Drop(why), .. } if why.contains(words))
}

#[test]
fn dozens_of_full_schedules_keep_all_promises() {
    hold(Size::Full, 0..15);
}

fn hold(size: Size, seeds: std::ops::Range<u64>) -> Vec<History> {
    let hold = |seed| {
        let history = run(seed, size);
        let violations = check(&history);
        let flag = if size == Size::Small { " --small" } else { "" };
        assert!(
            violations.is_empty(),
            "{violations:#?}\ncargo run --release -p rejoin-tests --bin simulate -- --seeds 1 --from {seed}{flag} --log"
        );
        history
    };
    seeds.map(hold).collect()
}

#[test]
fn one_client_delays_no_other_window() {
    keep(Trial::Haste, 0..40);
}

#[test]
fn no_session_is_evicted_in_vain() {
    keep(Trial::Memory, 0..60);
}

#[test]
fn messages_from_other_runtimes_arrive_at_once() {
    keep(Trial::Runtimes, 0..8);
}

#[test]
fn flood_delays_no_other_client() {
    keep(Trial::Flood, 0..6);
}

#[test]
fn frames_of_all_sizes_need_no_timer() {
    keep(Trial::Frames, 0..20);
}

#[test]
fn sockets_below_minimum_rate_are_lost() {
    keep(Trial::Pace, 0..40);
}

#[test]
fn questions_are_answered_once_over_cuts() {
    keep(Trial::Questions, 0..40);
}

#[test]
fn newcomers_get_the_last_frames_and_all_later_ones() {
    keep(Trial::Newcomers, 0..40);
}

#[test]
fn killed_servers_lose_and_repeat_nothing() {
    keep(Trial::Stores, 0..24);
}

#[test]
fn handed_over_sessions_keep_the_promises() {
    keep(Trial::Handover, 0..24);
}

fn keep(trial: Trial, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let violations = trial.run(seed);
        assert!(
            violations.is_empty(),
            "{violations:#?}\ncargo run --release -p rejoin-tests --bin simulate -- --seeds 1 --from {seed} --trial {trial} --log"
        );
    }
}

#[test]
fn same_seed_gives_identical_history() {
    for (size, seeds) in [(Size::Small, 0..20), (Size::Full, 1_000..1_003)] {
        for seed in seeds {
            let [once, again] = [(); 2].map(|()| run(seed, size).to_string());
            assert!(once == again, "seed {seed}, {size:?}: {}", first_difference(&once, &again));
        }
    }
}

#[test]
fn same_seed_kills_servers_alike() {
    for seed in 0..3 {
        let [once, again] = [(); 2].map(|()| {
            let log = Arc::new(Mutex::new(String::new()));
            let lines = log.clone();
            Trial::Stores.run_aloud(seed, move |line| {
                let mut log = lines.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(line);
                log.push('\n');
            });
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.clone()
        });
        assert!(
            once.contains("n0 dies") && once == again,
            "seed {seed}: {}",
            first_difference(&once, &again)
        );
    }
}

fn first_difference(once: &str, again: &str) -> String {
    let mut lines = once.lines().zip(again.lines());
    lines.find(|(a, b)| a != b).map_or_else(|| "one is longer".into(), |(a, b)| format!("{a:?}, then {b:?}"))
}
