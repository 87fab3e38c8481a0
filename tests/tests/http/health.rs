//! Health checks of load balancers.

use std::time::Duration;

use super::{FRONTS, Front, body, dial, exchange, read_head, start, status, upgrade};
use tokio::io::AsyncWriteExt as _;

/// Health checks as HAProxy, nginx and AWS send them.
const CHECKS: [(&str, &str); 4] = [
    ("GET /healthz HTTP/1.0\r\n\r\n", "ok\n"),
    ("OPTIONS /healthz HTTP/1.0\r\n\r\n", "ok\n"),
    ("HEAD /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", ""),
    (
        "GET /healthz HTTP/1.1\r\nhost: 10.0.0.1:80\r\nuser-agent: ELB-HealthChecker/2.0\r\nconnection: close\r\n\r\n",
        "ok\n",
    ),
];

#[tokio::test]
async fn health_checks_are_answered_and_not_counted() {
    for front in FRONTS {
        let (server, addr, _log) = start(front, |builder| builder.health_path("/healthz")).await;
        for (check, text) in CHECKS {
            let answer = exchange(addr, check.as_bytes()).await;
            let line = answer.lines().next().unwrap();
            assert!(line.ends_with(" 200 OK"), "{front:?}: {check}: {answer}");
            assert_eq!(body(&answer), text, "{front:?}: {check}");
        }
        assert_eq!(server.stats().refused, 0);
        assert_eq!(
            status(&exchange(addr, b"OPTIONS / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await),
            405
        );
    }
}

#[tokio::test]
async fn health_path_answers_503_during_a_shutdown() {
    for front in [Front::Axum, Front::Hyper] {
        let (server, addr, _log) = start(front, |builder| builder.health_path("/healthz")).await;
        assert_eq!(server.shutdown(Duration::from_secs(1)).await, 0);
        let answer = exchange(addr, CHECKS[3].0.as_bytes()).await;
        assert_eq!((status(&answer), body(&answer)), (503, "shutting down\n"), "{front:?}");
    }
}

#[tokio::test]
async fn upgrade_at_the_health_path_is_accepted() {
    for front in FRONTS {
        let (_server, addr, mut log) = start(front, |builder| builder.health_path("/")).await;
        let mut tcp = dial(addr).await;
        tcp.write_all(upgrade("").as_bytes()).await.unwrap();
        assert_eq!(status(&read_head(&mut tcp).await), 101, "{front:?}");
        log.connected().await;
    }
}
