//! Crowds of real clients and servers over sockets that are cut, reset, half-open, stalled, slow, refused and held: the
//! simulation's checker finds no violation. `scripts/sockets.sh` runs more seeds.

use std::path::Path;
use std::thread;

use rejoin_tests::simulation::{Crowd, Figures, Threads};

#[test]
fn crowds_over_sockets_keep_all_promises() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let crowds = [(1, Threads::One), (2, Threads::Several), (3, Threads::Several)];
    let results: Vec<_> = thread::scope(|scope| {
        let crowds = crowds.map(|(seed, threads)| scope.spawn(move || Crowd { seed, threads }.check(folder)));
        crowds.into_iter().map(|crowd| crowd.join().expect("a crowd does not panic")).collect()
    });
    let mut all = Figures::default();
    for figures in results {
        match figures {
            Ok(figures) => all += figures,
            Err(text) => panic!("{text}"),
        }
    }
    println!("{all}");
    assert!(all.lost > 30 && all.restored > 10 && all.messages > 500, "little has happened: {all}");
}
