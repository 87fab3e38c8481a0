//! Credentials that a client offers, that expire, and that are withdrawn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rejoin_client::Connection;
use rejoin_server::{
    CloseFrame, CloseReason, ConnectRequest, ConnectionError, DropReason, Identity, Reject, Server,
};
use rejoin_tests::harness::{Ended, Heard, Recorder, What, closed, next, number};
use rejoin_tests::network::Line;

use crate::{client, millis, secs, server, shut_down};

/// The token of each request, and whether it resumes a session.
type Seen = Arc<Mutex<Vec<(String, bool)>>>;

/// A server whose credentials last ten seconds, and what `ConnectFn` has seen: tokens, and whether requests resume.
fn expiring_server() -> (Server, Recorder, Seen) {
    let seen = Seen::default();
    let sees = seen.clone();
    let connect = move |request: ConnectRequest| {
        assert_eq!(request.token().map(str::as_bytes), request.token_bytes());
        let user = request.server().users().len();
        let token = request.token().unwrap_or_default().to_owned();
        sees.lock().unwrap().push((token, request.is_resume()));
        let identity = Identity::new().with_room("room").with_id("ada").with_user("ada").expires_in(secs(10));
        std::future::ready(if user > 1 { Err(Reject::forbidden("too many")) } else { Ok(identity) })
    };
    let (builder, log) = Recorder::of(Server::builder(connect));
    (builder.build().unwrap(), log, seen)
}

/// A client whose tokens are numbered.
async fn with_tokens(line: &Line) -> Connection {
    let calls = AtomicU64::new(0);
    let token = move || std::future::ready(Ok(format!("token-{}", calls.fetch_add(1, Ordering::Relaxed))));
    line.client("/").token(token).connect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_renewed_without_losing_frames() {
    let (server, mut log, seen) = expiring_server();
    let line = Line::to(&server);
    let mut ada = with_tokens(&line).await;
    let session = log.connected().await;
    for round in 1..=3 {
        assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(3000, "credentials expired")));
        assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::CredentialsExpired)));
        session.send(&number(round)).unwrap();
        ada.send(&number(round)).unwrap();
        assert_eq!(next(&mut ada).await, Heard::Resumed);
        assert_eq!(log.next().await, ("ada", What::Restored));
        assert_eq!(next(&mut ada).await, Heard::Message(number(round)));
        assert_eq!(log.numbers(1).await, [round]);
    }
    let seen = seen.lock().unwrap().clone();
    let expected: Vec<_> = (0..4).map(|dial| (format!("token-{dial}"), dial > 0)).collect();
    assert_eq!(seen, expected, "each dial has a fresh token");
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn reauthentication_closes_a_users_sockets() {
    let (server, mut log, seen) = expiring_server();
    let line = Line::to(&server);
    let mut ada = with_tokens(&line).await;
    let session = log.connected().await;
    assert_eq!(server.reauthenticate("nobody"), 0);
    assert_eq!(server.reauthenticate("ada"), 1);
    assert_eq!((server.reauthenticate("ada"), session.reauthenticate()), (0, false), "no socket is attached");
    assert_eq!(next(&mut ada).await, Heard::Disconnected(closed(3000, "credentials expired")));
    assert_eq!(log.next().await, ("ada", What::Dropped(DropReason::CredentialsExpired)));
    assert_eq!(next(&mut ada).await, Heard::Resumed);
    assert_eq!(log.next().await, ("ada", What::Restored));
    assert_eq!(seen.lock().unwrap().len(), 2);
    // The expiry of the first request is gone with its socket.
    tokio::time::sleep(secs(9)).await;
    assert_eq!(log.try_next(), None);
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn forbidden_clients_do_not_come_back() {
    let (server, mut log) = server(|builder| builder);
    let (mut ada, line) = client(&server, &mut log, "ada").await;
    let (mut ben, _line) = client(&server, &mut log, "ben").await;
    server.forbid("ada").await.unwrap();
    assert_eq!(server.forbid("ada").await, Err(ConnectionError::NotFound), "the ID is free at once");
    assert_eq!(log.next().await, ("ada", What::Disconnected(CloseReason::Forbidden)));
    let forbidden = Heard::Closed(Ended::Remote(CloseFrame::from_static(3003, "forbidden")));
    assert_eq!(next(&mut ada).await, forbidden);
    assert_eq!(line.dials(), 1);
    server.connection("ben").unwrap().set_user(Some("ben"));
    assert_eq!((server.user("ben").forbid(), server.user("ben").forbid()), (1, 0));
    assert_eq!(next(&mut ben).await, forbidden);
    assert_eq!(log.next().await, ("ben", What::Disconnected(CloseReason::Forbidden)));
    shut_down(&server).await;
}

#[tokio::test(start_paused = true)]
async fn without_window_expired_credentials_end_the_session() {
    let connect = async |_: ConnectRequest| Ok(Identity::new().with_id("ada").expires_in(millis(500)));
    let (builder, mut log) = Recorder::of(Server::builder(connect).resume_window(None));
    let server = builder.build().unwrap();
    let line = Line::to(&server);
    let mut ada = line.client("/").no_reconnect().connect().await.unwrap();
    log.connected().await;
    let expired = closed(3000, "credentials expired");
    assert_eq!(next(&mut ada).await, Heard::Disconnected(expired.clone()));
    assert_eq!(next(&mut ada).await, Heard::Closed(Ended::ReconnectDisabled(expired)));
    let lost = CloseReason::TransportLost(DropReason::CredentialsExpired);
    assert_eq!(log.next().await, ("ada", What::Disconnected(lost)));
    shut_down(&server).await;
}
