//! The limit on descriptors.

use crate::error::Error;

/// Descriptors that are not sockets: standard streams, epoll, files.
#[cfg(unix)]
const OTHERS: u64 = 64;

/// Raises the limit on descriptors so that the given number of sockets fits.
///
/// # Errors
/// Fails, with advice, when the limit cannot be raised far enough.
#[cfg(unix)]
pub(crate) fn fit(sockets: u64) -> Result<(), Error> {
    let needed = sockets + OTHERS;
    let allowed = rlimit::increase_nofile_limit(needed)
        .map_err(|error| Error::failed(format!("cannot read the limit on descriptors: {error}")))?;
    check(sockets, needed, allowed)
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(crate) fn fit(_: u64) -> Result<(), Error> {
    Ok(())
}

#[cfg(unix)]
fn check(sockets: u64, needed: u64, allowed: u64) -> Result<(), Error> {
    if allowed >= needed {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{sockets} sockets need {needed} descriptors, and this process may have {allowed}: run `ulimit -n {needed}` first (as root, or \
         with the hard limit raised in /etc/security/limits.conf), or use at most {} --clients",
        allowed.saturating_sub(OTHERS)
    )))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn error_names_limit_and_fitting_clients() {
        assert!(check(1000, 1064, 1064).is_ok());
        let error = check(10_000, 10_064, 1024).unwrap_err().to_string();
        for part in ["10064", "1024", "ulimit -n", "at most 960 --clients"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
