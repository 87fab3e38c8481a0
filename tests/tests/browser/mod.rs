//! Headless Chromium by WebDriver: `apt-get install chromium chromium-driver`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const INSTALL: &str = "this test needs Chromium and its driver: apt-get install chromium chromium-driver";

/// How long any expected state may take to appear.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Chromedriver and the browsers that it has started. Dropping it ends them, also when the test panics.
pub(crate) struct Driver {
    process: Child,
    url: String,
    /// The folder of the browsers' profiles.
    profiles: PathBuf,
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            // Its browsers stay in this process group, by which all are ended.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{INSTALL}\nchromedriver: {error}"));
        let mut output = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut driver = Self { process, url: String::new(), profiles: PathBuf::new() };
        let port = async {
            while let Some(line) = output.next_line().await.expect("chromedriver's output is text") {
                if let Some((_, port)) = line.split_once("was started successfully on port ") {
                    return Some(port.trim_end_matches('.').to_owned());
                }
            }
            None
        };
        let port = tokio::time::timeout(PATIENCE, port).await.expect("chromedriver prints its port in time");
        let port = port.expect("chromedriver prints its port");
        driver.url = format!("http://127.0.0.1:{port}");
        // Not shared with any other driver, in this process or another.
        driver.profiles = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("browsers-{port}"));
        // Reads the rest of the output, so that the pipe never fills.
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        driver
    }

    /// Opens a separate headless browser; the name distinguishes it from others of this driver.
    pub(crate) async fn open(&self, name: &str) -> Client {
        self.open_with(name, &[]).await
    }

    /// Like [`Self::open`], with arguments for the browser.
    pub(crate) async fn open_with(&self, name: &str, more: &[&str]) -> Client {
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1180,1000",
        ];
        arguments.extend(more);
        let profile = format!("--user-data-dir={}", self.profiles.join(name).display());
        arguments.push(&profile);
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        let browser =
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&self.url).await;
        browser.unwrap_or_else(|error| panic!("{INSTALL}\nno browser: {error}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let Some(group) = self.process.id() else { return };
        std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status().ok();
        // Processes that are being killed may still write.
        let deadline = Instant::now() + Duration::from_secs(2);
        while std::fs::remove_dir_all(&self.profiles).is_err()
            && self.profiles.exists()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
