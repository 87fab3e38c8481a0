//! [`Proxy`]: nginx or HAProxy as a process, in front of servers of this one: `apt-get install nginx-light haproxy`.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use rejoin_tests::harness::within;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A proxy process. It ends when this is dropped, also when the test panics.
///
/// This process opens the socket, and the proxy inherits it as its standard input. So no other process can take the port
/// meanwhile, and a client that dials before the proxy is ready waits in the backlog.
pub(super) struct Proxy {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    pub(super) addr: SocketAddr,
    /// Its configuration and its log.
    folder: PathBuf,
}

impl Proxy {
    /// Starts nginx with this text in its `http` block. The configuration must listen on `LISTEN`.
    pub(super) fn nginx(http: &str) -> Self {
        Self::start(|addr, folder| {
            let http = http.replace("LISTEN", &addr.to_string());
            let folder = folder.display();
            // Allows uploads of any size, and keeps all files in the folder.
            let config = format!(
                "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
                 http {{\naccess_log off;\nclient_max_body_size 16m;\nclient_body_temp_path {folder}/body;\n\
                 proxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
                 scgi_temp_path {folder}/scgi;\n{http}}}\n"
            );
            let mut command = Command::new("nginx");
            // The variable by which a new nginx process takes over the sockets of an old one.
            command.args(["-e", "stderr", "-p"]).arg(format!("{folder}/")).env("NGINX", "0;");
            (command, "-c", config)
        })
    }

    /// Starts HAProxy with these sections after `global` and `defaults`. The configuration must bind `LISTEN`.
    pub(super) fn haproxy(sections: &str) -> Self {
        Self::start(|_, _| {
            // `defaults` as in Debian's /etc/haproxy/haproxy.cfg, but with faster checks that are logged.
            let config = format!(
                "global\nlog stdout format raw local0\n\ndefaults\nlog global\nmode http\noption httplog\noption dontlognull\n\
                 timeout connect 5000\ntimeout client 50000\ntimeout server 50000\noption log-health-checks\n\
                 default-server inter 100ms\n\n{}",
                sections.replace("LISTEN", "fd@0")
            );
            let mut command = Command::new("haproxy");
            command.arg("-db");
            (command, "-f", config)
        })
    }

    fn start(prepare: impl FnOnce(SocketAddr, &PathBuf) -> (Command, &'static str, String)) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("proxy-{}", addr.port()));
        fs::create_dir_all(&folder).unwrap();
        let (mut command, option, config) = prepare(addr, &folder);
        let file = folder.join("config");
        fs::write(&file, config).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let started = command
            .arg(option)
            .arg(file)
            // Debian installs them in a folder that an ordinary user's `PATH` lacks.
            .env("PATH", format!("{path}:/usr/sbin"))
            .process_group(0)
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("stderr")).unwrap())
            .spawn();
        let mut process = started.unwrap_or_else(|error| {
            panic!(
                "this test needs nginx and HAProxy: apt-get install nginx-light haproxy\n{command:?}: {error}"
            )
        });
        let output = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, output, addr, folder }
    }

    /// Waits for a line of its log that contains this.
    pub(super) async fn logs(&mut self, text: &str) {
        let found = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line.contains(text) {
                    return;
                }
            }
            panic!("the proxy ended before it logged {text:?}");
        };
        within(text, found).await;
    }
}

impl Proxy {
    /// Its output on standard error.
    pub(super) fn errors(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.folder.display(), self.errors());
        }
        // nginx has workers in the same group.
        if let Some(group) = self.process.id() {
            std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status().ok();
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}
