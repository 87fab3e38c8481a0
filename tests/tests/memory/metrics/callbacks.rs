//! Durations of callbacks, and hooks that panic or use the server themselves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rejoin_server::{
    CallbackKind, CloseReason, ConnectRequest, DropReason, Metrics, ResumeRefused, Server, StatusCode,
};
use rejoin_tests::harness::{self, MetricsLog, Recorder, number, numbers};
use rejoin_tests::network::{Dials, Line};

use crate::{client, raw, secs, shut_down};

#[tokio::test(start_paused = true)]
async fn each_callback_reports_its_duration() {
    let metrics = MetricsLog::default();
    let nap = |n| tokio::time::sleep(secs(n));
    let connect = async |request: ConnectRequest| {
        tokio::time::sleep(secs(1)).await;
        harness::connect(request).await
    };
    let server = Server::builder(connect)
        .metrics(metrics.clone())
        .on_connect(move |_| nap(2))
        .on_message(move |_, _| nap(3))
        .on_transport_drop(move |_, _| nap(4))
        .on_transport_restore(move |_| nap(5))
        .on_gap(move |_, _| nap(6))
        .on_disconnect(move |_, _| nap(7))
        .build()
        .unwrap();
    let line = Line::to(&server);
    let mut socket = raw::dial(&line, "ada", "rejoin.v1.json").await.unwrap();
    let open = raw::read(&mut socket).await;
    line.cut();
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", raw::token(&open));
    let mut socket = raw::dial(&line, "ada", &offer).await.unwrap();
    raw::write(&mut socket, r#"{"event":"n","payload":1}"#).await;
    raw::write(&mut socket, r#"{"event":"$gap","payload":{"from":2,"to":2}}"#).await;
    let ada = server.connection("ada").unwrap();
    socket.close(None).await.unwrap();
    ada.closed().await;
    let mut callbacks = metrics.callbacks();
    // It runs before the callbacks of the session that it resumes have returned.
    assert_eq!(callbacks.remove(1), (CallbackKind::ConnectFn, secs(1)));
    let expected = [
        (CallbackKind::ConnectFn, 1),
        (CallbackKind::Connect, 2),
        (CallbackKind::TransportDrop, 4),
        (CallbackKind::TransportRestore, 5),
        (CallbackKind::Message, 3),
        (CallbackKind::Gap, 6),
        (CallbackKind::Disconnect, 7),
    ];
    assert_eq!(callbacks, expected.map(|(kind, took)| (kind, secs(took))));
}

#[tokio::test(start_paused = true)]
async fn only_existing_callbacks_report_even_panicking_ones() {
    let metrics = MetricsLog::default();
    let builder = || Server::builder(harness::connect).metrics(metrics.clone());
    let servers = [
        builder().on_message(|_, _| async { panic!("on purpose") }),
        // Panics before it returns a future.
        builder().on_message(|_, frame| {
            assert!(frame.event().is_empty(), "on purpose");
            async {}
        }),
    ];
    for server in servers.map(|builder| builder.build().unwrap()) {
        let line = Line::to(&server);
        let ada = line.client("/?id=ada").max_retries(1).connect().await.unwrap();
        let connection = server.connection("ada").unwrap();
        line.set_dials(Dials::Refused);
        ada.send(&number(1)).unwrap();
        connection.closed().await;
        let kinds: Vec<_> = metrics.callbacks().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [CallbackKind::ConnectFn, CallbackKind::Message]);
        assert!(metrics.happened().contains(&"connection closed after 0 s: handler_panicked".to_owned()));
    }
}

/// Metrics that call this function in every hook.
struct Always<F>(F);

impl<F: Fn() + Send + Sync + 'static> Metrics for Always<F> {
    fn upgrade_refused(&self, _: StatusCode) {
        self.0();
    }
    fn connection_opened(&self) {
        self.0();
    }
    fn connection_closed(&self, _: Duration, _: &CloseReason) {
        self.0();
    }
    fn room_created(&self) {
        self.0();
    }
    fn room_destroyed(&self) {
        self.0();
    }
    fn resume_attempted(&self) {
        self.0();
    }
    fn resume_refused(&self, _: ResumeRefused) {
        self.0();
    }
    fn takeover(&self) {
        self.0();
    }
    fn transport_dropped(&self, _: &DropReason) {
        self.0();
    }
    fn transport_restored(&self) {
        self.0();
    }
    fn received(&self, _: u64, _: u64) {
        self.0();
    }
    fn sent(&self, _: u64, _: u64) {
        self.0();
    }
    fn send_buffer_used(&self, _: usize, _: usize) {
        self.0();
    }
    fn retained_bytes_changed(&self, _: i64) {
        self.0();
    }
    fn broadcast(&self, _: u64, _: usize) {
        self.0();
    }
    fn callback_finished(&self, _: CallbackKind, _: Duration) {
        self.0();
    }
}

/// A scenario that calls every hook.
async fn everything(server: &Server, mut log: Recorder) {
    let (mut ada, line) = client(server, &mut log, "ada").await;
    for n in 1..=3 {
        ada.send(&number(n)).unwrap();
        server.send("ada", &number(n)).unwrap();
        assert_eq!(server.broadcast("room", &number(10 + n)), Ok(1));
        line.cut();
    }
    assert_eq!(log.numbers_over_drops(3).await, [1, 2, 3]);
    assert_eq!(numbers(&mut ada, 6).await, [1, 11, 2, 12, 3, 13]);
    assert_eq!(raw::dial(&line, "ben", "rejoin.v9.json").await.err(), Some(400));
    let offer = format!("rejoin.v1.json, rejoin.resume.{}.0", "x".repeat(43));
    let mut ben = raw::dial(&Line::to(server), "ben", &offer).await.unwrap();
    assert!(raw::read(&mut ben).await.contains("unknown"));
    server.kick("ada").await.unwrap();
    assert_eq!((server.stats().rooms, server.stats().refused), (1, 1));
    shut_down(server).await;
    assert_eq!((server.stats().rooms, server.stats().connections), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn panicking_hooks_change_nothing() {
    let (server, log) = crate::server(|builder| builder.metrics(Always(|| panic!("on purpose"))));
    everything(&server, log).await;
}

#[tokio::test(start_paused = true)]
async fn hooks_run_without_server_locks() {
    let (calls, watched) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::<Server>::new()));
    let (hook_calls, hook_server) = (calls.clone(), watched.clone());
    let hook = move || {
        let server = hook_server.get().unwrap().clone();
        let (done, looked) = std::sync::mpsc::channel();
        // On another thread, so that a held lock causes a failure instead of a deadlock.
        let look = std::thread::spawn(move || {
            server.stats();
            assert!(server.connections("room").iter().all(|member| member.counts().dropped == 0));
            done.send(()).ok();
        });
        looked.recv_timeout(secs(20)).expect("a lock is held");
        look.join().unwrap();
        hook_calls.fetch_add(1, Ordering::Relaxed);
    };
    let (server, log) = crate::server(|builder| builder.metrics(Always(hook)));
    watched.set(server.clone()).unwrap();
    everything(&server, log).await;
    assert!(calls.load(Ordering::Relaxed) > 30, "{calls:?}");
}
