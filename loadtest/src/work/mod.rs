//! The works: the kinds of load, each with its own options.

pub(crate) mod churn;
pub(crate) mod connect;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod resume_storm;

mod window;

use tokio::runtime::Builder;

use crate::args::{Args, Work};
use crate::error::Error;
use crate::report::Report;

/// Runs the work that the arguments name.
pub(crate) fn run(args: &Args) -> Result<Report, Error> {
    let mut runtime = Builder::new_multi_thread();
    if let Some(threads) = args.work.common().threads {
        runtime.worker_threads(threads.into());
    }
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format!("cannot start the runtime: {error}")))?;
    let report = runtime.block_on(async {
        match &args.work {
            Work::Connect(options) => connect::run(options).await,
            Work::Idle(options) => idle::run(options).await,
            Work::Echo(options) => echo::run(options).await,
            Work::Fanout(options) => fanout::run(options).await,
            Work::Churn(options) => churn::run(options).await,
            Work::ResumeStorm(options) => resume_storm::run(options).await,
        }
    });
    // Do not wait for remaining tasks.
    runtime.shutdown_background();
    report
}
