//! A slow peer only hurts itself.

use rejoin_client::{Frame, SendError};
use rejoin_tests::harness::{alone, next, number, numbers};
use rejoin_tests::network::Dials;

use crate::stage::Stage;
use crate::{Mode, in_both_modes, secs};

#[test]
fn direct_send_to_a_full_buffer() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.send_buffer(4)).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        stage.drop_and_hold("ada", &line).await;
        for n in 1..=4 {
            stage.server.send("ada", &number(n)).unwrap();
        }
        assert_eq!(stage.server.send("ada", &number(99)), Err(SendError::Full));
        line.set_dials(Dials::Served);
        stage.server.connection("ada").unwrap().send_wait(&number(5)).await.unwrap();
        assert_eq!(numbers(&mut client, 5).await, [1, 2, 3, 4, 5], "the refused frame was not queued");
        assert_eq!(stage.server.stats().dropped, 0, "and never accepted");
        stage.end().await;
    });
}

#[test]
fn direct_send_to_peer_that_never_acknowledges() {
    alone(async {
        let mut stage = Stage::set(Mode::Session, |builder| builder.send_buffer(4)).await;
        let (mut client, line) = stage.connect_on_a_line("ada").await;
        line.half_open();
        for n in 1..=4 {
            stage.server.send("ada", &number(n)).unwrap();
        }
        assert_eq!(stage.server.send("ada", &number(99)), Err(SendError::Full));
        line.cut();
        stage.server.connection("ada").unwrap().send_wait(&number(5)).await.unwrap();
        assert_eq!(numbers(&mut client, 5).await, [1, 2, 3, 4, 5]);
        stage.end().await;
    });
}

#[test]
fn direct_send_to_peer_that_never_reads() {
    alone(async {
        let mut stage =
            Stage::set(Mode::Plain, |builder| builder.send_buffer(4).write_timeout(secs(30))).await;
        let mut bare = stage.bare("ada").await;
        let big = |n: u64| Frame::new("big", &(n, "x".repeat(60_000))).unwrap();
        let mut sent = 0;
        while stage.server.send("ada", &big(sent)) != Err(SendError::Full) {
            sent += 1;
            tokio::task::yield_now().await;
        }
        for n in 0..sent {
            let text = bare.text().await;
            assert!(text.starts_with(&format!(r#"{{"event":"big","payload":[{n},"#)), "{}", &text[..40]);
        }
        bare.close().await;
        stage.end().await;
    });
}

#[test]
fn broadcast_drops_oldest_frame_of_slow_member_only() {
    in_both_modes(async |mode| {
        let mut stage = Stage::set(mode, |builder| builder.send_buffer(8)).await;
        let (mut slow, line) = stage.connect_on_a_line("slow").await;
        let mut ben = stage.connect("ben").await;
        stage.drop_and_hold("slow", &line).await;
        for n in 1..=20 {
            assert_eq!(stage.server.broadcast("room", &number(n)), Ok(2));
            assert_eq!(next(&mut ben).await, format!("message n {n}"));
            // Once ben's message arrives, his acknowledgements have arrived, too.
            ben.send(&number(n)).unwrap();
            assert_eq!(stage.log.next().await, format!("ben message n {n}"));
        }
        assert_eq!(stage.server.stats().dropped, 12);
        line.set_dials(Dials::Served);
        let dropped = next(&mut slow).await;
        assert!(dropped.starts_with("dropped: "), "{dropped}");
        assert_eq!(next(&mut slow).await, "restored");
        if mode == Mode::Session {
            assert_eq!(next(&mut slow).await, "gap 1-12");
        }
        assert_eq!(numbers(&mut slow, 8).await, Vec::from_iter(13..=20));
        stage.end().await;
    });
}

#[test]
fn broadcast_to_member_that_never_acknowledges() {
    alone(async {
        let mut stage = Stage::set(Mode::Session, |builder| builder.send_buffer(8)).await;
        let (mut slow, line) = stage.connect_on_a_line("slow").await;
        let mut ben = stage.connect("ben").await;
        line.half_open();
        for n in 1..=20 {
            assert_eq!(stage.server.broadcast("room", &number(n)), Ok(2));
            assert_eq!(next(&mut ben).await, format!("message n {n}"));
            ben.send(&number(n)).unwrap();
            assert_eq!(stage.log.next().await, format!("ben message n {n}"));
        }
        line.cut();
        let dropped = next(&mut slow).await;
        assert!(dropped.starts_with("dropped: "), "{dropped}");
        assert_eq!(next(&mut slow).await, "restored");
        assert_eq!(next(&mut slow).await, "gap 1-12");
        assert_eq!(numbers(&mut slow, 8).await, Vec::from_iter(13..=20));
        assert_eq!(stage.server.stats().dropped, 12);
        stage.end().await;
    });
}

#[test]
fn broadcast_to_member_that_never_reads() {
    alone(async {
        let mut stage =
            Stage::set(Mode::Plain, |builder| builder.send_buffer(8).write_timeout(secs(30))).await;
        let mut slow = stage.bare("slow").await;
        let mut quick = stage.bare("quick").await;
        let pad = "x".repeat(60_000);
        let number_of = |text: String| {
            let rest = text.strip_prefix(r#"{"event":"big","payload":["#).expect("a big message");
            rest.split_once(',').unwrap().0.parse::<u64>().unwrap()
        };
        let mut sent = 0;
        while stage.server.stats().dropped < 20 {
            sent += 1;
            assert_eq!(stage.server.broadcast("room", &Frame::new("big", &(sent, &pad)).unwrap()), Ok(2));
            assert_eq!(number_of(quick.text().await), sent, "no other member has lost a frame");
        }
        let mut heard = Vec::new();
        while heard.last() != Some(&sent) {
            heard.push(number_of(slow.text().await));
        }
        assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
        assert!(
            heard.ends_with(&Vec::from_iter(sent - 7..=sent)),
            "the newest frames were retained: {heard:?}"
        );
        assert_eq!(sent - heard.len() as u64, stage.server.stats().dropped, "missing frames are counted");
        slow.close().await;
        quick.close().await;
        stage.end().await;
    });
}
