//! The texts, labels and close codes of reasons and errors, which operators read.

use std::io::ErrorKind;
use std::time::Duration;

use rejoin_client::{CloseReason as ClientReason, ConnectError};
use rejoin_server::{
    BroadcastError, CallbackKind, CloseFrame, CloseReason, ConnectionError, DeliveryError, DropReason,
    EncodeError, Identity, ResumeRefused, SendError, Server,
};
use rejoin_tests::harness;
use rejoin_tests::network::Line;

fn bye() -> CloseFrame {
    CloseFrame::from_static(4001, "bye")
}

#[test]
fn close_reasons_have_text_label_and_frame() {
    let lost = DropReason::HeartbeatTimeout;
    let socket_lost = "socket lost: nothing arrived for the pong timeout";
    for (reason, text, label, frame) in [
        (CloseReason::Normal, "closed by the peer", "normal", "1000"),
        (CloseReason::Local(bye()), "closed by the application", "local", "4001 bye"),
        (CloseReason::Kicked, "kicked", "kicked", "1000 kicked"),
        (CloseReason::Forbidden, "forbidden", "forbidden", "3003 forbidden"),
        (
            CloseReason::Duplicate,
            "another connection took the id",
            "duplicate",
            "1000 duplicate connection id",
        ),
        (CloseReason::WindowExpired, "resume window expired", "window_expired", "1000"),
        (CloseReason::TransportLost(lost), socket_lost, "transport_lost", "1000"),
        (CloseReason::ServerClosed, "server shut down", "server_closed", "1001 server shutting down"),
        (CloseReason::Protocol(bye()), "protocol error: 4001 bye", "protocol", "4001 bye"),
        (CloseReason::TooBig, "message too big", "too_big", "1009 message too big"),
        (CloseReason::RateExceeded, "rate limit exceeded", "rate_exceeded", "1008 rate limit exceeded"),
        (CloseReason::Overflow, "send buffer overflowed", "overflow", "1013 send buffer overflow"),
        (CloseReason::Evicted, "evicted to free memory", "evicted", "1000"),
        (CloseReason::HandlerPanicked, "handler panicked", "handler_panicked", "1011 handler panicked"),
        (CloseReason::Remote(bye()), "closed by the peer with 4001 bye", "remote", "1000"),
        (CloseReason::TakenOver, "taken over by another socket", "taken_over", "1000"),
    ] {
        assert_eq!((reason.to_string().as_str(), reason.kind()), (text, label));
        assert_eq!(reason.close_frame().to_string(), frame, "{text}");
    }
}

#[test]
fn drop_reasons_have_text_and_label() {
    for (reason, text, label) in [
        (DropReason::Closed(None), "closed by the peer", "closed"),
        (DropReason::Closed(Some(bye())), "closed by the peer with 4001 bye", "closed"),
        (DropReason::Io(ErrorKind::ConnectionReset), "connection reset", "io"),
        (DropReason::HeartbeatTimeout, "nothing arrived for the pong timeout", "heartbeat_timeout"),
        (DropReason::WriteTimeout, "the socket took too few bytes within the write timeout", "write_timeout"),
        (DropReason::TakenOver, "taken over by another socket", "taken_over"),
        (DropReason::Cut, "cut by the application", "cut"),
        (
            DropReason::Draining { retry_in: Duration::from_millis(1500) },
            "the server drains (retry in 1500 ms)",
            "draining",
        ),
        (DropReason::CredentialsExpired, "credentials expired", "credentials_expired"),
        (DropReason::StoreDown, "the server's store does not answer", "store_down"),
        (DropReason::Restarted, "the server's process has ended", "restarted"),
        (DropReason::SessionLost, "the server lost frames that it had acknowledged", "session_lost"),
    ] {
        assert_eq!((reason.to_string().as_str(), reason.kind()), (text, label));
    }
}

#[test]
fn send_errors_name_their_cause() {
    for (error, text) in [
        (SendError::Full, "send buffer is full"),
        (SendError::Closed, "connection is closed"),
        (SendError::NotFound, "no connection has this id"),
        (SendError::Reserved, "events that begin with $ are reserved in session mode"),
    ] {
        assert_eq!(error.to_string(), text);
        assert!(std::error::Error::source(&error).is_none(), "{text}");
        let not_sent = DeliveryError::NotSent(error);
        assert_eq!(not_sent.to_string(), text);
        assert!(std::error::Error::source(&not_sent).is_some(), "{text}");
    }
    assert!(SendError::Timeout.to_string().contains("for the write timeout"));
    let encode = EncodeError::new("a date");
    for error in [
        &SendError::Encode(encode.clone()) as &dyn std::error::Error,
        &BroadcastError::Encode(encode.clone()),
    ] {
        assert_eq!(error.to_string(), encode.to_string());
        assert_eq!(error.source().map(ToString::to_string), Some(encode.to_string()));
    }
    for error in [DeliveryError::Dropped, DeliveryError::Ended, DeliveryError::PlainMode] {
        assert!(error.to_string().contains("frame"), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "{error}");
    }
    assert_eq!(BroadcastError::ShutDown.to_string(), "server has been shut down");
    assert_eq!(BroadcastError::Reserved.to_string(), SendError::Reserved.to_string());
    assert_eq!(ConnectionError::NotFound.to_string(), "no connection has this id");
    assert!(ConnectionError::NotAttached.to_string().contains("no socket"));
}

#[test]
fn metrics_labels_are_a_closed_set() {
    use ResumeRefused::{BadCount, Codec, Ended, Identity, Overtaken, Unknown};
    let refused = [Unknown, Codec, Identity, BadCount, Ended, Overtaken];
    let words = ["unknown", "codec", "identity", "bad_count", "ended", "overtaken"];
    assert_eq!(refused.map(ResumeRefused::as_str), words);
    assert_eq!(refused.map(|why| why.to_string()), words);
    use CallbackKind::{Connect, ConnectFn, Disconnect, Gap, Message, TransportDrop, TransportRestore};
    let kinds = [ConnectFn, Connect, Message, TransportDrop, TransportRestore, Gap, Disconnect];
    let words =
        ["connect_fn", "connect", "message", "transport_drop", "transport_restore", "gap", "disconnect"];
    assert_eq!(kinds.map(CallbackKind::as_str), words);
    assert_eq!(kinds.map(|kind| kind.to_string()), words);
}

#[test]
fn client_close_reasons_have_a_text() {
    for (reason, text) in [
        (ClientReason::Local, "closed by the application"),
        (ClientReason::Remote(bye()), "closed by the server with 4001 bye"),
        (ClientReason::TakenOver, "taken over by another socket"),
        (ClientReason::Protocol(bye()), "server broke the protocol: 4001 bye"),
        (ClientReason::Overflow, "send buffer overflowed"),
        (ClientReason::TooBig, "server sent a message that is too big"),
        (
            ClientReason::ReconnectDisabled(DropReason::Cut),
            "socket lost, and reconnecting is turned off: cut by the application",
        ),
        (ClientReason::Panicked, "codec panicked"),
        (
            ClientReason::RetriesExhausted {
                attempts: 3,
                last: ConnectError::ShortLived(DropReason::Cut).into(),
            },
            "3 reconnects failed, the last: socket gone soon after the session was opened: cut by the application",
        ),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn debug_output_names_types_and_omits_secrets() {
    let (server, mut log) = crate::server(|builder| builder);
    let line = Line::to(&server);
    let builder = line.client("/?id=ada").header("authorization", "Bearer secret");
    let shown = [
        (format!("{server:?}"), "Server"),
        (format!("{:?}", server.service()), "Service"),
        (format!("{:?}", Server::builder(harness::connect)), "Builder"),
        (
            format!("{:?}", Identity::new().with_room("hall").with_id("ada")),
            r#"Identity { room: Some("hall"), id: Some("ada")"#,
        ),
        (format!("{builder:?}"), "ClientBuilder"),
        (format!("{:?}", builder.build().unwrap()), "Client"),
    ];
    for (shown, starts) in shown {
        assert!(shown.starts_with(starts) && !shown.contains("secret"), "{shown}");
    }
    let options = format!("{:?}", line.client("/").header("authorization", "Bearer secret"));
    assert!(options.contains(r#"mode: Session, reconnect: true, headers: ["authorization"]"#), "{options}");
    let (ada, _) = crate::client(&server, &mut log, "ada").await;
    let connection = server.connection("ada").unwrap();
    assert_eq!(format!("{connection:?}"), r#"Connection { id: "ada", room: Some("room"), .. }"#);
    assert_eq!(
        format!("{:?}", connection.downgrade()),
        r#"WeakConnection(Some(Connection { id: "ada", room: Some("room"), .. }))"#
    );
    assert_eq!(format!("{ada:?}"), "Connection { state: Connected, .. }");
    assert_eq!(format!("{:?}", ada.sender()), "Sender { state: Connected, .. }");
}
