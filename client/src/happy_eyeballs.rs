//! Happy Eyeballs (RFC 8305): a first address that does not answer costs 250 ms, not the whole handshake timeout.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// The delay before the next attempt while earlier ones are pending (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to one of the addresses. An attempt begins when the one before has failed or 250 ms have passed; the first that
/// succeeds wins, and the others are dropped. Fails if all attempts fail, with all errors. The caller limits the time.
pub(crate) async fn connect<T, F, Fut>(addresses: Vec<SocketAddr>, connect: F) -> io::Result<T>
where
    F: Fn(SocketAddr) -> Fut,
    Fut: Future<Output = io::Result<T>>,
{
    let mut waiting = interleave(addresses).into_iter().peekable();
    let mut attempts = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let attempt = connect(address);
            attempts.push(async move { (address, attempt.await) });
        }
        let more = waiting.peek().is_some();
        tokio::select! {
            biased;
            next = attempts.next() => match next {
                Some((_, Ok(stream))) => return Ok(stream),
                Some((address, Err(error))) => failed.push((address, error)),
                None => return Err(all(failed)),
            },
            () = sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

/// Alternates the address families, and otherwise keeps the order of the resolver (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let count = addresses.len();
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::with_capacity(count);
    while mixed.len() < count {
        mixed.extend(first.next());
        mixed.extend(second.next());
    }
    mixed
}

/// Joins the errors of all addresses. The kind is that of the first.
fn all(mut failed: Vec<(SocketAddr, io::Error)>) -> io::Error {
    match failed.as_slice() {
        [] => io::ErrorKind::NotFound.into(),
        // The system's own error.
        [_] => failed.remove(0).1,
        [(_, first), ..] => io::Error::new(first.kind(), Failed(failed)),
    }
}

/// Addresses that were tried, with their errors.
#[derive(Debug)]
struct Failed(Vec<(SocketAddr, io::Error)>);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failed {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    /// The time after which an address answers, and whether it succeeds.
    type Behaviour = fn(SocketAddr) -> (Duration, bool);

    /// Returns the address that wins, its time, and the time at which each attempt began.
    async fn race(
        list: &[&str],
        behaviour: Behaviour,
    ) -> (io::Result<SocketAddr>, Duration, Vec<(String, u128)>) {
        let start = Instant::now();
        let begun = Mutex::new(Vec::new());
        let result = connect(addresses(list), |address| {
            begun.lock().unwrap().push((address.to_string(), start.elapsed().as_millis()));
            let (time, succeeds) = behaviour(address);
            async move {
                sleep(time).await;
                if succeeds { Ok(address) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        });
        let result = result.await;
        (result, start.elapsed(), begun.into_inner().unwrap())
    }

    const NEVER: Duration = Duration::from_secs(1 << 20);

    #[tokio::test(start_paused = true)]
    async fn second_attempt_begins_after_250_milliseconds() {
        let (winner, time, begun) = race(&["[::1]:1", "127.0.0.1:1"], |address| match address {
            SocketAddr::V6(_) => (NEVER, true),
            SocketAddr::V4(_) => (Duration::from_millis(20), true),
        })
        .await;
        assert_eq!(winner.unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(time.as_millis(), 270);
        assert_eq!(begun, [("[::1]:1".to_owned(), 0), ("127.0.0.1:1".to_owned(), 250)]);
    }

    #[tokio::test(start_paused = true)]
    async fn failure_starts_the_next_attempt_at_once() {
        let (winner, time, _) = race(&["[::1]:1", "127.0.0.1:1"], |address| match address {
            SocketAddr::V6(_) => (Duration::from_millis(3), false),
            SocketAddr::V4(_) => (Duration::from_millis(20), true),
        })
        .await;
        assert!(winner.unwrap().is_ipv4());
        assert_eq!(time.as_millis(), 23);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_first_address_can_still_win() {
        let (winner, time, begun) =
            race(&["[::1]:1", "127.0.0.1:1", "127.0.0.2:1"], |address| match address {
                SocketAddr::V6(_) => (Duration::from_millis(400), true),
                SocketAddr::V4(_) => (Duration::from_secs(1), true),
            })
            .await;
        assert!(winner.unwrap().is_ipv6());
        assert_eq!((time.as_millis(), begun.len()), (400, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn failure_of_all_addresses_reports_each_error() {
        let (result, time, begun) =
            race(&["127.0.0.1:1", "127.0.0.2:2", "[::1]:3"], |_| (Duration::from_millis(5), false)).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let why = io::Error::from(io::ErrorKind::ConnectionRefused);
        let text = format!("127.0.0.1:1: {why}, [::1]:3: {why}, 127.0.0.2:2: {why}");
        assert_eq!(error.to_string(), text);
        assert_eq!((time.as_millis(), begun.len()), (15, 3));
        let (result, ..) = race(&[], |_| (NEVER, true)).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_alternate_from_the_resolvers_first() {
        let order = |list: &[&str]| {
            interleave(addresses(list)).iter().map(|address| address.ip().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]),
            ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]
        );
        assert_eq!(order(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]), ["1.1.1.1", "::1", "2.2.2.2"]);
    }
}
