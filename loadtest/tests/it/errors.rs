//! The tool explains what it cannot measure, with advice.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::support::{run, server, test_server, tool};

/// Runs a command that must fail with this status and these words.
async fn fails(command: &mut Command, status: i32, words: &[&str]) {
    let ran = run(command).await;
    assert_eq!(ran.status, status, "{ran:?}");
    assert_eq!(ran.stdout, "", "there is nothing to report");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not in: {}", ran.stderr);
    }
}

#[tokio::test]
async fn reports_that_nothing_listens() {
    // A bound port that does not listen.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}/");
    fails(tool("connect").arg(&url), 1, &[&format!("127.0.0.1:{port}"), "refused", "is the server running"])
        .await;
}

#[tokio::test]
async fn quotes_the_servers_refusal() {
    let (_server, url) = test_server().await;
    let words = ["401", "rejected on request", "--header"];
    fails(tool("echo").arg(format!("{url}&reject=1")), 1, &words).await;
}

#[tokio::test]
async fn headers_can_identify_a_client() {
    let (server, _listening, url) = server(|builder| builder).await;
    let words = ["401", "this is no key"];
    fails(tool("connect --header authorization=Basic").arg(&url), 1, &words).await;
    let header = "--header=authorization=Bearer key-{client}-{run}";
    let ran = run(tool("connect -n 3 --json").arg(header).arg(&url)).await;
    assert_eq!(ran.report()["results"]["connected"], 3);
    assert_eq!(server.stats().refused, 1);
}

#[tokio::test]
async fn reports_what_the_server_does_not_support() {
    let (_server, _listening, url) = server(|builder| builder).await;
    let words = ["no answer to the event \"echo\"", "--echo-event"];
    fails(tool("echo -n 2 --warmup 0 --timeout 0.2").arg(&url), 1, &words).await;
    let words = ["no client got a message of the event \"pub\"", "--publish-event"];
    fails(tool("fanout -n 2 --warmup 0 --timeout 0.2").arg(&url), 1, &words).await;
    let words = ["400", "json"];
    fails(tool("connect --codec protobuf").arg(&url), 1, &words).await;
}

#[tokio::test]
async fn names_invalid_arguments() {
    for (args, word) in [
        ("echo ftp://example.com", "its scheme"),
        ("echo ws://127.0.0.1:1 --header authorization", "NAME=VALUE"),
        ("echo ws://127.0.0.1:1 --header sec-websocket-key=x", "sec-websocket-key"),
        ("echo ws://127.0.0.1:1 --rate 5 --inflight 2", "cannot be used with"),
        ("fanout ws://127.0.0.1:1/{room} --rooms 3 -n 2", "at most as many rooms as"),
        ("fanout ws://127.0.0.1:1 --rooms 3", "{room}"),
        ("resume-storm ws://127.0.0.1:1 --plain", "{client}"),
        ("resume-storm ws://127.0.0.1:1 --away 100", "at most 60"),
        ("idle wss://127.0.0.1:1 --ca /nonexistent.pem", "/nonexistent.pem"),
        ("idle", "<URL>"),
    ] {
        fails(&mut tool(args), 2, &[word]).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn reports_a_missing_process() {
    fails(&mut tool("idle ws://127.0.0.1:1 --pid 4294967295"), 1, &["4294967295", "no such process"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn reports_the_needed_descriptors() {
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -n 200; exec \"$0\" idle -n 1000 ws://127.0.0.1:1",
        env!("CARGO_BIN_EXE_rejoin-loadtest"),
    ]);
    fails(&mut limited, 1, &["1064", "200", "ulimit -n", "at most 136 --clients"]).await;
}

#[tokio::test]
async fn trusts_authorities_in_a_file() {
    let (server, _listening, _) = server(|builder| builder).await;
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certified.cert.der().to_vec())], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (server, acceptor) = (server.clone(), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    server.serve_connection(tls).await;
                }
            });
        }
    });
    let url = format!("wss://localhost:{port}/?id={{client}}");
    fails(tool("connect -n 3").arg(&url), 1, &["certificate"]).await;

    let ca = std::env::temp_dir().join(format!("rejoin-loadtest-{}.pem", std::process::id()));
    std::fs::write(&ca, certified.cert.pem()).unwrap();
    let storm = "resume-storm -n 3 --no-publish --echoes 0 --away 0 --backoff 0.01 --json --ca";
    let ran = run(tool(storm).arg(&ca).arg(&url)).await;
    std::fs::remove_file(&ca).unwrap();
    assert_eq!(ran.report()["results"]["resumed"], 3);
}
