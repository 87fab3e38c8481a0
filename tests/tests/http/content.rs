//! Requests with content are refused, and bytes after the head of an upgrade request are its first frames.

use rejoin_tests::harness::within;
use tokio::io::AsyncWriteExt as _;

use super::{FRONTS, dial, exchange, frame, read_head, start, status, upgrade};

const MESSAGE: &[u8] = br#"{"event":"n","payload":7}"#;

#[tokio::test]
async fn request_content_is_never_read_as_frames() {
    let frame = frame(1, MESSAGE);
    let chunk = [format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n0\r\n\r\n"].concat();
    let length = format!("connection: close\r\ncontent-length: {}\r\n", frame.len());
    let cases = [
        (length.clone(), &frame),
        (format!("{length}expect: 100-continue\r\n"), &frame),
        ("connection: close\r\ntransfer-encoding: chunked\r\n".into(), &chunk),
        ("connection: close\r\ncontent-length: abc\r\n".into(), &frame),
    ];
    for front in FRONTS {
        let (server, addr, mut log) = start(front, |builder| builder).await;
        for (lines, content) in &cases {
            let request = [upgrade(lines).as_bytes(), content].concat();
            let answer = exchange(addr, &request).await;
            let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
            assert_eq!(status(answer), 400, "{front:?}: {lines}");
        }
        assert_eq!((log.try_next(), server.stats().connections), (None, 0), "{front:?}");
    }
}

#[tokio::test]
async fn frame_behind_the_request_is_delivered() {
    for front in FRONTS {
        let (_server, addr, mut log) = start(front, |builder| builder).await;
        let mut tcp = dial(addr).await;
        let request = [upgrade("content-length: 0\r\n").as_bytes(), &frame(1, MESSAGE)].concat();
        tcp.write_all(&request).await.unwrap();
        assert_eq!(status(&read_head(&mut tcp).await), 101, "{front:?}");
        log.connected().await;
        assert_eq!(within("message", log.numbers(1)).await, [7], "{front:?}");
    }
}
