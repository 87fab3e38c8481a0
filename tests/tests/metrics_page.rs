//! The metrics page of the example `metrics`, as Prometheus reads it.

use std::io;
use std::time::Duration;

use rejoin_examples::metrics as example;
use rejoin_tests::harness::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn scrape(addr: std::net::SocketAddr) -> io::Result<String> {
    let mut io = TcpStream::connect(addr).await?;
    io.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut page = String::new();
    io.read_to_string(&mut page).await?;
    Ok(page)
}

#[tokio::test]
async fn metrics_page_shows_drops_and_resumes() {
    let recorder = example::recorder().expect("no list of buckets is empty").build_recorder();
    // For this thread only: the runtime has no other.
    let _installed = metrics::set_default_local_recorder(&recorder);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let addr = listener.local_addr().expect("it listens");
    let url = format!("ws://{addr}/ws?room=lobby");
    let seen = async {
        // A socket is lost every second, and returns half a second later.
        loop {
            let page = scrape(addr).await.expect("the app answers");
            if page.contains("rejoin_transport_restores_total 1\n") {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let page = tokio::select! {
        page = within("restore", seen) => page,
        visited = example::visit(&url) => panic!("the visitor has left: {visited:?}"),
        served = example::serve(listener, recorder.handle(), std::future::pending()) => panic!("{served:?}"),
    };
    for line in [
        "content-type: text/plain; version=0.0.4",
        "# HELP rejoin_transport_drops_total sockets that sessions lost",
        "# TYPE rejoin_transport_drops_total counter",
        r#"rejoin_transport_drops_total{reason="cut"} 1"#,
        "rejoin_resume_attempts_total 1",
        "# TYPE rejoin_connections gauge",
        "rejoin_connections 1",
        "# TYPE rejoin_callback_duration_seconds histogram",
        r#"rejoin_callback_duration_seconds_count{callback="connect_fn"} 2"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    assert!(!page.contains("lobby") && !page.contains("session="), "no label is unbounded");
}
