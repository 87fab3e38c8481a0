//! `kills`: see [`rejoin_tests::kills`].
//!
//! ```text
//! kills [--program PATH] [--directory DIR] [--kills N] [--clients N] [--seed N] [--longest-stop MS] [--durability commit|handover]
//! ```

use std::process::ExitCode;

use rejoin_tests::kills::Kills;

#[tokio::main]
async fn main() -> ExitCode {
    let mut program = std::env::current_exe().expect("a program knows its path");
    program.set_file_name("rejoin-testserver");
    let directory = std::env::temp_dir().join(format!("rejoin-kills-{}", std::process::id()));
    let mut kills = Kills::new(program, directory);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().unwrap_or_default();
        let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{name} takes a number"));
        match name.as_str() {
            "--program" => kills.program = value.into(),
            "--directory" => kills.directory = value.into(),
            "--kills" => kills.kills = number() as usize,
            "--clients" => kills.clients = number() as usize,
            "--seed" => kills.seed = number(),
            "--longest-stop" => kills.longest_stop = std::time::Duration::from_millis(number()),
            "--durability" => kills.hands_over = value == "handover",
            _ => panic!("unknown argument {name}"),
        }
    }
    let result = kills.run().await;
    std::fs::remove_dir_all(&kills.directory).ok();
    match result {
        Ok(report) => {
            let ways = Kills::WAYS.iter().zip(report.ways).map(|(way, count)| format!("{count} {way}"));
            let ways = ways.collect::<Vec<_>>().join(", ");
            println!(
                "seed {}: {} sent, {} received, {ways}: {} faults, back within {:?}",
                kills.seed,
                report.sent,
                report.received,
                report.faults.len(),
                report.longest
            );
            report.faults.iter().for_each(|fault| println!("  {fault}"));
            if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
