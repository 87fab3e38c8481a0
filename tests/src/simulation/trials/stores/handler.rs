//! The application of the trial's server: what its handler does with each input.

use std::time::Duration;

use rejoin_server::{Audience, Connection, Frame};
use tokio::time::sleep;

use super::super::super::check::Property;
use super::Run;
use super::process::Life;

/// The name of the second room.
const ASIDE: &str = "aside";

/// Number of handled inputs of a connection, according to its state.
pub(super) fn count(state: Option<&[u8]>) -> u64 {
    state.and_then(|state| Some(u64::from_be_bytes(state.try_into().ok()?))).unwrap_or(0)
}

/// Handles an input. A handler may run again after its process has died, and then its first run has never been.
pub(super) async fn handle(run: Run, life: Life, connection: Connection, frame: Frame) {
    let by: usize = connection.id()[1..].parse().unwrap_or(usize::MAX);
    let Ok(n) = frame.decode::<u64>() else {
        run.wrong(Property::Genuine, format!("c{by} is said to have sent {frame:?}"));
        return;
    };
    if life.is_dead() {
        return;
    }
    let stamp = run.begin_run();
    run.log(|| format!("c{by}: {n} {} is handled in run {stamp}", frame.event()));
    let before = count(connection.state().as_deref());
    if before + 1 != n {
        run.wrong(Property::Effects, format!("c{by}: input {n} is handled after {before}"));
    }
    connection.set_state(n.to_be_bytes().to_vec());
    let output = |event: &str| Frame::new(event, &(by, n, stamp)).expect("JSON takes it");
    let server = connection.server();
    let home = connection.room().unwrap_or_default().to_owned();
    let say = |audience: Audience<'_>, event: &str| {
        // Fails only after a shutdown, when this run can no longer be committed.
        server.broadcast(audience, &output(event)).ok();
    };
    // Its process is dead, or another server owns the session, so this run has no effect.
    let is_gone = || life.is_dead() || server.connection(connection.id()).as_ref() != Some(&connection);
    let echo = |event: &str| {
        if let Err(error) = connection.send(&output(event))
            && !is_gone()
        {
            run.wrong(Property::NothingLostSilently, format!("c{by}: {n} cannot be sent back: {error}"));
        }
    };
    match frame.event() {
        "say" => say(Audience::room(&home), "say"),
        "others" => {
            say(Audience::room(&home).except(&connection), "others");
            echo("others echo");
        }
        "aside" => say(Audience::room(ASIDE), "aside"),
        "join" => {
            connection.join(ASIDE).await.ok();
            say(Audience::room(ASIDE), "joined");
        }
        "leave" => {
            say(Audience::room(ASIDE), "leaves");
            connection.leave(ASIDE).await.ok();
        }
        "ask back" => {
            let question = Frame::new("question", &n).expect("JSON takes it");
            let answer = connection.ask(&question).timeout(super::PATIENCE).await;
            let is_right = answer.as_ref().is_ok_and(|answer| answer.decode::<usize>().ok() == Some(by));
            if !is_right && !is_gone() {
                run.wrong(Property::Once, format!("c{by}: the answer for {n} is {answer:?}"));
            }
            echo("asked");
        }
        "ask" => {
            let answer = output("answered").with_re(frame.id());
            if let Err(error) = connection.send(&answer)
                && !is_gone()
            {
                run.wrong(Property::NothingLostSilently, format!("c{by}: no answer to {n}: {error}"));
            }
        }
        "count" => {}
        event => match event.split_once(' ') {
            Some(("tell", to)) => say(Audience::id(&format!("c{to}")), "told"),
            Some(("slow", millis)) => {
                sleep(Duration::from_millis(millis.parse().unwrap_or(0))).await;
                echo("slow");
            }
            _ => echo(event),
        },
    }
}
