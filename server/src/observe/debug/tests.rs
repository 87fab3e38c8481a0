use rejoin_core::{CloseReason, DropReason};

use super::*;

/// The output of metrics that got only these reports.
fn printed(report: impl Fn(&DebugMetrics)) -> String {
    let metrics = DebugMetrics::new();
    report(&metrics);
    metrics.snapshot().to_string()
}

#[test]
fn each_report_adds_to_its_own_sum() {
    type Report = fn(&DebugMetrics);
    let reports: [(Report, &str); 22] = [
        (|to| to.connection_opened(), "connections: 2\nconnections opened: 2\n"),
        (|to| to.room_created(), "rooms: 2\n"),
        (|to| to.joined(), "memberships: 2\njoins: 2\n"),
        (|to| to.join_refused(), "joins refused: 2\n"),
        (|to| to.resume_attempted(), "resume attempts: 2\n"),
        (|to| to.transport_restored(), "restores: 2\n"),
        (|to| to.takeover(), "takeovers: 2\n"),
        (|to| to.heartbeat_failed(), "heartbeat failures: 2\n"),
        (|to| to.received(3, 5), "received frames: 6\nreceived bytes: 10\n"),
        (|to| to.sent(3, 5), "sent frames: 6\nsent bytes: 10\n"),
        (|to| to.replayed(3), "replayed frames: 6\n"),
        (|to| to.frames_dropped(3), "dropped frames: 6\n"),
        (|to| to.volatile_dropped(3), "volatile frames dropped: 6\n"),
        (|to| to.gap_sent(3), "gap frames sent: 6\n"),
        (|to| to.gap_received(3), "gap frames received: 6\n"),
        (|to| to.broadcast(5, 3), "broadcasts: 2\nbroadcast bytes: 10\nbroadcast receivers: 6\n"),
        (|to| to.retained_bytes_changed(5), "retained bytes: 10\n"),
        (|to| to.transport_dropped(&DropReason::Cut), "sockets lost, cut: 2\n"),
        (|to| to.resume_refused(ResumeRefused::Unknown), "resumes refused, unknown: 2\n"),
        (|to| to.upgrade_refused(StatusCode::FORBIDDEN), "upgrades refused, 403: 2\n"),
        (|to| to.limit_reached(Limit::Members), "limits reached, members: 2\n"),
        (|to| to.error("accept"), "errors, accept: 2\n"),
    ];
    for (report, expected) in reports {
        let twice = printed(|metrics| {
            report(metrics);
            report(metrics);
        });
        assert_eq!(twice, expected);
    }
}

#[test]
fn what_ends_is_subtracted() {
    let all = printed(|metrics| {
        metrics.connection_opened();
        metrics.connection_closed(Duration::from_secs(3), &CloseReason::Evicted);
        // Reported before its creation.
        metrics.room_destroyed();
        metrics.room_created();
        metrics.left();
        metrics.joined();
        metrics.retained_bytes_changed(7);
        metrics.retained_bytes_changed(-7);
    });
    assert_eq!(all, "connections opened: 1\njoins: 1\nconnections closed, evicted: 1\n");
}

#[test]
fn lifetimes_and_calls_add_up() {
    let metrics = DebugMetrics::new();
    for seconds in [3, 4, 2] {
        let took = Duration::from_secs(seconds);
        metrics.connection_opened();
        metrics.connection_closed(took, &CloseReason::Evicted);
        metrics.callback_finished(CallbackKind::Message, took);
        metrics.send_buffer_used(seconds as usize, 8);
    }
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.lived, Duration::from_secs(9));
    let [total, longest] = [9, 4].map(Duration::from_secs);
    assert_eq!(snapshot.callbacks["message"], CallbackTimes { calls: 3, total, longest });
    assert_eq!(snapshot.fullest_send_buffer, 0.5);
    let printed = snapshot.to_string();
    assert!(
        printed.ends_with("fullest send buffer: 50 %\ncallback message: 3 in 9s, the longest 4s\n"),
        "{printed}"
    );
}
