//! Mutation testing: do the tests find small mistakes in the code?
//!
//! All mutations are compiled into one build, behind a switch in the environment (`REJOIN_MUTANT=17`), so that a mutant costs
//! only the tests that reach it, and no compilation. The steps: copy the tree ([`tree`]), find the places of mutations
//! ([`sites`]), write them into the copy ([`weave`]), drop the mutations that do not compile ([`viable`]), run each test once and
//! record which mutations it reaches ([`suite`]), run the tests that reach a mutant, the fastest first ([`trial`]), and write the
//! outcomes to a file ([`report`]).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

mod report;
mod sites;
mod suite;
mod tree;
mod trial;
mod viable;
mod weave;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plants a sample of small mistakes in the code, one at a time, and shows which of them the tests find.
#[derive(Parser)]
struct Options {
    /// The seed of the sample.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of mutants to try; all of them with 0.
    #[arg(long, default_value_t = 300)]
    sample: usize,
    /// Only mutants in files whose path contains this; can be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Only the tests of these packages; can be repeated. Quicker, and some mutants survive that other packages' tests find.
    #[arg(long, default_values = viable::PACKAGES)]
    package: Vec<String>,
    /// Only mutants whose line in the report contains this, instead of a sample; can be repeated.
    #[arg(long)]
    mutant: Vec<String>,
    /// Leave out tests that take longer than this number of seconds without a mutant.
    #[arg(long, default_value_t = 5.0)]
    slow: f64,
    /// The number of mutants that are tried at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stop when the mutants are compiled.
    #[arg(long)]
    compile_only: bool,
    /// Where to write the outcomes.
    #[arg(long, default_value = "target/mutants/outcome.txt")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let tree = tree::copy(&options.package)?;
    let files = tree.sources(&options.only)?;
    let mutants = viable::build(&tree, files)?;
    println!("{} viable mutants", mutants.len());
    if options.compile_only {
        return Ok(());
    }
    let mut sample = mutants.clone();
    if options.mutant.is_empty() {
        sample.shuffle(&mut SmallRng::seed_from_u64(options.seed));
        if options.sample > 0 {
            sample.truncate(options.sample);
        }
    } else {
        let is_wanted = |line: &str| options.mutant.iter().any(|text| line.contains(text.as_str()));
        sample.retain(|mutant| is_wanted(&mutant.to_string()));
    }
    let suite = suite::record(&tree, Duration::from_secs_f64(options.slow), options.jobs)?;
    let outcomes = trial::all(&suite, &sample, options.jobs)?;
    report::write(options, &tree, mutants.len(), &outcomes)
}
