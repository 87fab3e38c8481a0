//! The other scenarios rely on this: leaked tasks and sockets are detected.

use rejoin_tests::harness::{Baseline, alone, millis};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn leaked_task_is_detected() {
    alone(async {
        let before = Baseline::now();
        let task = tokio::spawn(std::future::pending::<()>());
        let left = before.restored(millis(50)).await;
        assert_eq!(left.unwrap_err(), "left behind: 1 tasks, 0 sockets");
        task.abort();
        before.restored(millis(20_000)).await.unwrap();
    });
}

#[test]
fn leaked_socket_is_detected() {
    alone(async {
        let before = Baseline::now();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let left = before.restored(millis(50)).await;
        assert_eq!(left.unwrap_err(), "left behind: 0 tasks, 2 sockets");
        drop((listener, client));
        before.restored(millis(0)).await.unwrap();
    });
}
