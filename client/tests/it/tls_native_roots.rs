//! The roots of the operating system, which are files here.

use std::path::{Path, PathBuf};
use std::process::Command;

use rejoin_client::{Client, ConfigError};

use crate::tls::{assert_echoes, certificate, server};

/// Where a test finds the server that the process above it runs.
const URL: &str = "REJOIN_TEST_URL";

/// Runs a test in a process of its own, whose operating system trusts these certificates: `SSL_CERT_FILE` is read once per
/// process, and cannot be set safely in one that has threads.
async fn run_trusting(test: &'static str, pem: &str, url: String) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}.pem", std::process::id()));
    std::fs::write(&file, pem).unwrap();
    let command = move |file: PathBuf| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("tls_native_roots::{test}"), "--nocapture"]);
        command.env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR").env(URL, url);
        let output = command.output().unwrap();
        std::fs::remove_file(file).unwrap();
        output
    };
    let output = tokio::task::spawn_blocking(|| command(file)).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn trusts_the_authorities_of_the_operating_system() {
    if let Ok(url) = std::env::var(URL) {
        return assert_echoes(Client::builder(url).plain().connect().await.unwrap()).await;
    }
    let signed = certificate();
    let url = server(&signed).await;
    run_trusting("trusts_the_authorities_of_the_operating_system", &signed.cert.pem(), url).await;
}

#[tokio::test]
async fn an_empty_system_store_needs_mozillas_roots() {
    if let Ok(url) = std::env::var(URL) {
        let built = Client::builder(url).build();
        let has_others = cfg!(feature = "rustls-tls-webpki-roots");
        assert!(if has_others { built.is_ok() } else { matches!(built, Err(ConfigError::Tls { .. })) });
        return;
    }
    run_trusting("an_empty_system_store_needs_mozillas_roots", "", "wss://server.test/".into()).await;
}
