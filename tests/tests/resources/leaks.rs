//! After many messages and reconnects, a process has the same memory, tasks and descriptors as before.
//!
//! This runs a tenth of the load; `scripts/soak.sh` runs a million messages and ten thousand reconnects.

use std::time::Duration;

use rejoin_client::{Connection, Event};
use rejoin_tests::harness::{next_event, number, numbers};
use rejoin_tests::network::Line;

use crate::{alone, echo_server, live, tasks};

/// How much collections may have grown: maps and queues keep spare capacity.
const SLACK: usize = 64 * 1024;

/// The load, relative to a short run.
fn scale() -> usize {
    std::env::var("REJOIN_SOAK").map_or(1, |scale| scale.parse().expect("REJOIN_SOAK is a number"))
}

async fn restored(client: &mut Connection) {
    while !matches!(next_event(client).await, Event::Reconnected { .. }) {}
}

#[test]
fn memory_and_tasks_return_to_baseline() {
    alone(true, async {
        let server = echo_server(|builder| builder);
        let line = Line::to(&server);
        let mut client = line
            .client("/?id=ada")
            .reconnect(Duration::from_millis(1), Duration::from_millis(1))
            .connect()
            .await
            .unwrap();
        let mut n = 0;
        let mut round = async |reconnects: usize, messages: u64| {
            for _ in 0..reconnects {
                for _ in 0..messages {
                    n += 1;
                    client.send(&number(n)).unwrap();
                    assert_eq!(numbers(&mut client, 1).await, [n]);
                }
                line.cut();
                restored(&mut client).await;
            }
            // The remaining acknowledgements arrive, and free the retained frames.
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        round(50, 20).await;
        let (memory, running) = (live(), tasks());
        round(1000 * scale(), 100).await;
        let (memory_after, running_after) = (live(), tasks());
        assert!(memory_after <= memory + SLACK, "{memory} bytes before, {memory_after} after");
        assert_eq!(running_after, running);
    });
}

#[test]
fn ended_sessions_leave_nothing() {
    alone(true, async {
        let server = echo_server(|builder| builder);
        let round = async |sessions: usize| {
            for id in 0..sessions {
                let line = Line::to(&server);
                // Some clients close, some are lost, some are kicked while they are away.
                let mut client = line.client(&format!("/?id={id}&room={}", id % 7)).connect().await.unwrap();
                client.send(&number(1)).unwrap();
                assert_eq!(numbers(&mut client, 1).await, [1]);
                match id % 3 {
                    0 => assert_eq!(client.close().await.unacknowledged, 0),
                    1 => client.abort(),
                    _ => {
                        client.abort();
                        server.kick(&id.to_string()).await.unwrap();
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(server.stats().connections + server.stats().suspended + server.stats().rooms, 0);
        };
        round(100).await;
        let (memory, running) = (live(), tasks());
        round(1000 * scale()).await;
        let (memory_after, running_after) = (live(), tasks());
        assert!(memory_after <= memory + SLACK, "{memory} bytes before, {memory_after} after");
        assert_eq!(running_after, running);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_return_to_baseline() {
    use rejoin_client::Client;
    use rejoin_tests::harness::within;

    use crate::descriptors;

    alone(false, async {
        let server = echo_server(|builder| builder);
        let listening = server.listen("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/?id=ada", listening.local_addr());
        let builder = Client::builder(url).reconnect(Duration::from_micros(1), Duration::from_millis(1));
        let mut client = builder.connect().await.unwrap();
        // A connection that has ended leaves nothing; the remaining one has its two ends.
        let open = descriptors();
        for n in 0..200 * scale() as u64 {
            server.cut("ada").unwrap();
            restored(&mut client).await;
            client.send(&number(n)).unwrap();
            assert_eq!(numbers(&mut client, 1).await, [n]);
        }
        within("descriptors", async {
            while descriptors() > open {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(client.close().await.unacknowledged, 0);
        assert_eq!(server.shutdown(Duration::from_secs(20)).await, 0);
        within("tasks", async {
            while tasks() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(descriptors() <= open - 3, "the listener and both ends are closed");
    });
}
