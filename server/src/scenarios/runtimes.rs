//! Runtimes end while the server continues in another one.

use rejoin_core::drive::model::{Time, close_runtime, end_runtime, enter_runtime, explore, idle, thread};

use super::client::ScenarioClient;
use super::{ScenarioWorld, broadcast, frame};

/// The server's first runtime ends in the middle of a fan-out.
#[test]
fn fan_out_continues_in_the_next_runtime() {
    explore(|time| {
        let (world, first) = in_the_second(time);
        let clients = ["ada", "bob", "cyd"].map(|id| ScenarioClient::plain(world.shared(), id).0);
        idle();
        let server = world.server.clone();
        let broadcasts = thread(move || broadcast(&server, &["1", "2"]));
        let ends = thread(move || end_runtime(first.handle()));
        assert_eq!(broadcasts.join().unwrap(), 6);
        ends.join().unwrap();
        idle();
        for mut client in clients {
            client.leave();
            assert_eq!(client.received, ["1", "2"]);
        }
        world.finish();
    });
}

/// A session without a task gets one in the next runtime, when the first one drops its tasks.
#[test]
fn hibernated_session_is_woken_in_the_next_runtime() {
    explore(|time| {
        let (world, first) = in_the_second(time);
        let (mut client, connection) = ScenarioClient::session(world.shared(), "ada");
        idle();
        world.server.cut("ada").unwrap();
        idle();
        connection.send(&frame("missed")).unwrap();
        close_runtime(first.handle());
        let ends = thread(move || end_runtime(first.handle()));
        let resumes = thread(move || {
            assert!(client.resume());
            client
        });
        ends.join().unwrap();
        let mut client = resumes.join().unwrap();
        idle();
        assert!(client.read(), "its socket is open");
        assert_eq!(client.received, ["missed"]);
        assert_eq!(world.ends(), [], "it goes on");
        client.leave();
        drop(connection);
        world.finish();
    });
}

/// A server whose first runtime may end. Its sessions live in the second one, whose clock is the scenario's.
fn in_the_second(time: &Time) -> (ScenarioWorld<'_>, Time) {
    let first = Time::new();
    let world = ScenarioWorld::inside(time, Some(first.handle()), |builder| builder);
    enter_runtime(Some(time.handle()));
    world.shared().runtimes.note();
    (world, first)
}
