//! Real servers and real clients over lines in memory, from one seed each: what PROTOCOL.md §6 promises holds, and the same
//! seed does the same. `cargo run --release -p rejoin-tests --bin simulate` runs as many seeds as there is time for.

use rejoin_tests::simulation::{Size, check, run};

#[test]
fn hundreds_of_small_schedules_keep_what_is_promised() {
    hold(Size::Small, 0..200);
}

#[test]
fn dozens_of_full_schedules_keep_what_is_promised() {
    hold(Size::Full, 0..15);
}

fn hold(size: Size, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let violations = check(&run(seed, size));
        let flag = if size == Size::Small { " --small" } else { "" };
        assert!(
            violations.is_empty(),
            "{violations:#?}\ncargo run --release -p rejoin-tests --bin simulate -- --seeds 1 --from {seed}{flag} --log"
        );
    }
}

#[test]
fn the_same_seed_does_the_same_to_the_byte() {
    for (size, seeds) in [(Size::Small, 0..20), (Size::Full, 1_000..1_003)] {
        for seed in seeds {
            let [once, again] = [(); 2].map(|()| run(seed, size).to_string());
            assert!(once == again, "seed {seed}, {size:?}: {}", first_difference(&once, &again));
        }
    }
}

fn first_difference(once: &str, again: &str) -> String {
    let mut lines = once.lines().zip(again.lines());
    lines.find(|(a, b)| a != b).map_or_else(|| "one is longer".into(), |(a, b)| format!("{a:?}, then {b:?}"))
}
