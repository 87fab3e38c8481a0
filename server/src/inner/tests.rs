//! Tests of a server's state.

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::testing::{connection, pending, runtime, server};
use crate::{ConnectRequest, Identity, Metrics, Reject, Server};

#[test]
fn dropped_server_leaves_no_task() {
    let shared = server();
    let tasks = shared.tasks.clone();
    runtime().block_on(async {
        shared.runtimes.note();
        assert_eq!(tasks.len(), 1, "one task watches the runtime");
        drop(shared);
        while !tasks.is_empty() {
            tokio::task::yield_now().await;
        }
    });
}

/// The refused resumes that were reported.
#[derive(Clone, Default)]
struct Refused(Arc<Mutex<Vec<ResumeRefused>>>);

impl Metrics for Refused {
    fn resume_refused(&self, why: ResumeRefused) {
        self.0.lock().unwrap().push(why);
    }
}

#[tokio::test(start_paused = true)]
async fn losing_and_late_sockets_get_a_reason() {
    let reported = Refused::default();
    let connect = async |_: ConnectRequest| Ok::<_, Reject>(Identity::new().with_room("room"));
    let server = Server::builder(connect).metrics(reported.clone()).build().unwrap();
    let shared = server.shared();
    let connection = connection(shared);
    let received = async |mut theirs: tokio::io::DuplexStream| {
        // An unmasked close frame: its code, and its reason.
        let mut frame = [0; 64];
        let read = theirs.read(&mut frame).await.unwrap();
        assert_eq!((frame[0], frame[1] as usize), (0x88, read - 2));
        let reason = String::from_utf8_lossy(&frame[4..read]).into_owned();
        (u16::from_be_bytes([frame[2], frame[3]]), reason)
    };
    let [(early, one), (late, _two)] = [(); 2].map(|()| pending(&connection, true));
    shared.arrive(&connection, late);
    assert!(reported.0.lock().unwrap().is_empty());
    shared.arrive(&connection, early);
    assert_eq!(received(one).await, (4000, "taken over".into()));
    assert_eq!(*reported.0.lock().unwrap(), [ResumeRefused::Overtaken]);
    connection.set_gone();
    for resumes in [true, false] {
        let (late, three) = pending(&connection, resumes);
        connection.handle().take_pending_socket();
        shared.arrive(&connection, late);
        assert_eq!(received(three).await, (1001, "session ended".into()));
    }
    assert_eq!(*reported.0.lock().unwrap(), [ResumeRefused::Overtaken, ResumeRefused::Ended]);
}
