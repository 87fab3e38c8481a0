//! [`Process`]: a process's CPU time and memory, from Linux' /proc.

use std::fs;
use std::time::Duration;

use crate::error::Error;

/// A process on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pid: u32,
}

/// A process's usage so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time in user mode and in the kernel, with a resolution of 10 ms.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
}

/// /proc counts in hundredths of a second (USER_HZ), independent of the kernel's tick rate.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// # Errors
    /// Fails if there is no such process, and on systems without /proc.
    pub(crate) fn new(pid: u32) -> Result<Self, Error> {
        if !cfg!(target_os = "linux") {
            return Err(Error::usage(
                "--pid reads Linux' /proc, which this system does not have: leave it out",
            ));
        }
        let process = Self { pid };
        process.usage()?;
        Ok(process)
    }

    /// This process, on systems with /proc.
    pub(crate) fn own() -> Option<Self> {
        Self::new(std::process::id()).ok()
    }

    /// # Errors
    /// Fails when the process has ended.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{}/{name}", self.pid)).map_err(|error| {
                Error::failed(format!("--pid {}: no such process, or it has ended: {error}", self.pid))
            })
        };
        let unreadable = || Error::failed(format!("--pid {}: unexpected contents in /proc", self.pid));
        let cpu = cpu(&read("stat")?).ok_or_else(unreadable)?;
        let memory = memory(&read("status")?).ok_or_else(unreadable)?;
        Ok(Usage { cpu, memory })
    }
}

/// The fields `utime` and `stime`; see proc(5).
fn cpu(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may contain any character.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * ticks()? + TICK * ticks()?)
}

fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The processes' usage over a period.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    pub(crate) server: Option<ServerCost>,
    pub(crate) own: Option<Duration>,
}

/// The server's usage over a period.
#[derive(Debug)]
pub(crate) struct ServerCost {
    pub(crate) cpu: Duration,
    pub(crate) memory_before: u64,
    pub(crate) memory_after: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values_from_proc() {
        let stat = "42 (a (very) odd name) S 1 42 42 0 -1 4194560 500 0 0 0 250 50 0 0 20 0 8 0 100 1 2 3";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(memory("Name:\tx\nVmRSS:\t    1024 kB\nThreads: 1\n"), Some(1 << 20));
        assert_eq!(cpu("42 (x"), None);
        assert_eq!(memory("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn finds_this_process_and_no_missing_one() {
        assert!(Process::own().unwrap().usage().unwrap().memory > 100_000);
        assert!(Process::new(u32::MAX).unwrap_err().to_string().contains("no such process"));
    }
}
