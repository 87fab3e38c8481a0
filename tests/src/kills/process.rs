//! [`Process`]: the test server as a process of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How the test server is started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) hands_over: bool,
}

/// A running test server.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    port: u16,
    control: u16,
}

impl Process {
    /// Starts it, on these ports, and waits until it listens.
    pub(super) async fn start(program: &Program, ports: Option<(u16, u16)>) -> Result<Self, String> {
        let name = program.path.display().to_string();
        let mut command = program.command(ports.unwrap_or_default());
        let start = move || {
            let mut child =
                command.stderr(Stdio::piped()).spawn().map_err(|error| format!("{name}: {error}"))?;
            let stderr = child.stderr.take().ok_or("no stderr")?;
            let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
            let mut before = String::new();
            let ports = loop {
                match lines.next() {
                    Some(Ok(line)) => {
                        match line.strip_prefix("READY:").and_then(|ports| ports.split_once(':')) {
                            Some(ports) => break ports.0.parse().ok().zip(ports.1.parse().ok()),
                            None => before += &line,
                        }
                    }
                    _ => return Err(format!("the server does not start: {before}")),
                }
            };
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    if line.contains("WARN") || line.contains("ERROR") || line.contains("panicked") {
                        eprintln!("server: {line}");
                    }
                }
            });
            let (port, control) = ports.ok_or("no ports")?;
            Ok(Self { child, port, control })
        };
        tokio::task::spawn_blocking(start).await.map_err(|error| error.to_string())?
    }

    /// Starts it, and kills it before it may be ready.
    pub(super) async fn start_in_vain(
        program: &Program,
        ports: (u16, u16),
        lives: Duration,
    ) -> Result<(), String> {
        let child = program.command(ports).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{}: {error}", program.path.display()))?;
        let mut process = Self { child, port: ports.0, control: ports.1 };
        tokio::time::sleep(lives).await;
        process.kill().await
    }

    pub(super) fn ports(&self) -> (u16, u16) {
        (self.port, self.control)
    }

    pub(super) fn url(&self, query: &str) -> String {
        format!("ws://127.0.0.1:{}/?{query}", self.port)
    }

    /// Kills it at once.
    pub(super) async fn kill(&mut self) -> Result<(), String> {
        self.child.kill().map_err(|error| error.to_string())?;
        self.wait().await
    }

    /// Asks it to stop.
    pub(super) fn terminate(&self) -> Result<(), String> {
        self.signal(rustix::process::Signal::TERM)
    }

    /// Stops it for a while, or lets it continue.
    pub(super) fn pause(&self, pauses: bool) -> Result<(), String> {
        self.signal(if pauses { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT })
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<(), String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).map_err(|error| error.to_string())
    }

    /// Waits until it has ended.
    pub(super) async fn wait(&mut self) -> Result<(), String> {
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The body of a command's answer.
    pub(super) async fn get(&self, path: &str) -> Result<String, String> {
        self.ask("GET", path).await
    }

    pub(super) async fn post(&self, path: &str) -> Result<String, String> {
        self.ask("POST", path).await
    }

    async fn ask(&self, method: &str, path: &str) -> Result<String, String> {
        let get = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.control)).await?;
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = get.await.map_err(|error| error.to_string())?;
        Ok(answer.split_once("\r\n\r\n").unwrap_or_default().1.to_owned())
    }
}

impl Program {
    fn command(&self, (port, control): (u16, u16)) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(["--addr", &format!("127.0.0.1:{port}"), "--control", &format!("127.0.0.1:{control}")])
            .args(["--store", &format!("local:{}", self.directory.display())])
            .args(["--durability", if self.hands_over { "handover" } else { "commit" }])
            .args(["--resume-window", "60"])
            // Away for long, a client misses nothing all the same.
            .args(["--send-buffer", "16384", "--send-buffer-bytes", "16777216"]);
        command
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
