//! Tests of [`WsTransport`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

mod streams;
use streams::{Buffering, Flood};

fn pair(capacity: usize) -> (WsTransport<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(capacity);
    (WsTransport::new(ours, Unmasked, &[], 1024), theirs)
}

/// A frame as a client sends it, with the mask 0.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut wire = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
    wire.extend(payload);
    wire
}

fn receive(transport: &mut WsTransport<DuplexStream>, most: usize) -> (Vec<String>, Poll<ReceiveError>) {
    let mut texts = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let result = transport.poll_receive(&mut cx, &mut |received| {
        if let Received::Message(message) = received {
            texts.push(String::from_utf8(message.data.to_vec()).unwrap());
        }
        if texts.len() < most { Flow::Continue } else { Flow::Pause }
    });
    (texts, result)
}

fn flush(transport: &mut WsTransport<DuplexStream>) -> (Poll<io::Result<()>>, Written) {
    let mut written = Written::default();
    let result = transport.poll_flush(&mut Context::from_waker(Waker::noop()), &mut written);
    (result, written)
}

#[tokio::test]
async fn keeps_bytes_that_a_paused_session_refused() {
    let (mut transport, mut peer) = pair(1024);
    for text in ["a", "b", "c"] {
        peer.write_all(&masked(1, text.as_bytes())).await.unwrap();
    }
    assert_eq!(receive(&mut transport, 1).0, ["a"]);
    assert_eq!(receive(&mut transport, 1).0, ["b"]);
    assert_eq!(receive(&mut transport, 9).0, ["c"]);
    assert!(transport.leftover.is_none());
}

#[tokio::test]
async fn pausing_at_the_arrival_of_bytes_loses_none() {
    let (mut transport, mut peer) = pair(1024);
    peer.write_all(&masked(1, b"a")).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut arrived = Vec::new();
    let received = transport.poll_receive(&mut cx, &mut |received| {
        arrived.push(format!("{received:?}"));
        Flow::Pause
    });
    assert!(received.is_pending());
    assert_eq!(arrived, ["Bytes(7)"]);
    assert_eq!(receive(&mut transport, 9).0, ["a"]);
}

#[test]
fn an_endless_peer_lets_other_tasks_run() {
    let mut transport = WsTransport::new(Flood { taken: 0 }, Unmasked, &[], 1024);
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.clone().into();
    for turn in 1..=3 {
        let received = transport.poll_receive(&mut Context::from_waker(&waker), &mut |_| Flow::Continue);
        assert!(received.is_pending());
        assert!(transport.io.taken <= turn * (READ_PER_POLL + linger::READ_BUFFER));
        assert_eq!(wakes.0.load(Ordering::Relaxed), turn, "it wakes itself");
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn delivers_bytes_that_the_http_server_read() {
    let (ours, _theirs) = tokio::io::duplex(64);
    let mut transport = WsTransport::new(ours, Unmasked, &masked(1, b"early"), 1024);
    assert_eq!(receive(&mut transport, 9).0, ["early"]);
}

#[tokio::test]
async fn counts_a_message_when_it_is_completely_written() {
    let (mut transport, mut peer) = pair(10);
    transport.push_data(Bytes::from_static(b"123456"));
    transport.push_control(Message::text("x"));
    transport.push_data(Bytes::from_static(b"abcdef"));
    let (result, written) = flush(&mut transport);
    assert!(result.is_pending());
    assert_eq!(written, Written { messages: 2, data: 1, bytes: 10 });
    let mut read = [0; 10];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"123456\x81\x01xa");
    let (result, written) = flush(&mut transport);
    assert!(matches!(result, Poll::Ready(Ok(()))));
    assert_eq!(written, Written { messages: 1, data: 1, bytes: 5 });
}

/// For any number of bytes that the stream takes at a time, and any number of pending messages.
#[tokio::test]
async fn a_volatile_message_counts_as_no_data() {
    let (mut transport, _peer) = pair(64);
    transport.push_volatile(Bytes::from_static(b"v"));
    transport.push_data(Bytes::from_static(b"d"));
    assert_eq!(flush(&mut transport).1, Written { messages: 2, data: 1, bytes: 2 });
}

#[tokio::test]
async fn each_byte_is_written_once_and_in_order() {
    for capacity in [10, 100, 1000] {
        let (mut transport, mut peer) = pair(capacity);
        assert!(transport.io.is_write_vectored());
        let mut expected = Vec::new();
        for n in 0..3 * MAX_SLICES / 2 {
            let message = format!("<{n}>");
            expected.extend_from_slice(message.as_bytes());
            transport.push_data(message.into());
        }
        let (mut read, mut data) = (Vec::new(), 0);
        while read.len() < expected.len() {
            assert_eq!(transport.pending() + read.len(), expected.len());
            data += flush(&mut transport).1.data;
            let mut buffer = [0; 1000];
            let count = peer.read(&mut buffer).await.unwrap();
            read.extend_from_slice(&buffer[..count]);
        }
        assert_eq!((read, data), (expected, 3 * MAX_SLICES / 2), "{capacity} bytes at a time");
        assert!(transport.is_idle() || capacity < 1000);
    }
}

#[tokio::test]
async fn only_the_unwritten_part_is_queued() {
    let (mut transport, mut peer) = pair(10);
    let send = |transport: &mut WsTransport<DuplexStream>, message: &'static [u8]| {
        let mut written = Written::default();
        let mut cx = Context::from_waker(Waker::noop());
        let result = transport.poll_send(&mut cx, &Bytes::from_static(message), &mut written);
        (result.is_ready(), written.data, written.bytes, transport.pending())
    };
    assert_eq!(send(&mut transport, b"123456"), (true, 1, 6, 0));
    assert_eq!(send(&mut transport, b"abcdef"), (false, 0, 4, 2));
    assert_eq!(send(&mut transport, b"next"), (false, 0, 0, 6), "behind the pending message");
    let mut read = [0; 10];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"123456abcd");
    assert_eq!(send(&mut transport, b"last"), (true, 3, 10, 0), "although the stream takes more");
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"efnextlast");
    assert_eq!(send(&mut transport, b"0123456789"), (true, 1, 10, 0));
    assert_eq!(send(&mut transport, b"ab"), (false, 0, 0, 2), "the stream is full");
    peer.read_exact(&mut read).await.unwrap();
    assert!(flush(&mut transport).0.is_ready());
    peer.read_exact(&mut read[..2]).await.unwrap();
    assert_eq!(&read[..2], b"ab");
    // The answer to a pending ping comes first.
    peer.write_all(&masked(9, b"p")).await.unwrap();
    assert!(receive(&mut transport, 9).0.is_empty());
    assert_eq!(send(&mut transport, b"x"), (true, 1, 4, 0), "the pong is written, too");
    peer.read_exact(&mut read[..4]).await.unwrap();
    assert_eq!(&read[..4], b"\x8a\x01px");
}

/// The frames except the first, as a session returns them.
fn batch(frames: &[&'static [u8]]) -> Batch {
    let mut writer = crate::SegmentWriter::default();
    let shared: Vec<_> = frames.iter().map(|frame| writer.push(Bytes::from_static(frame))).collect();
    let config = crate::SessionConfig::new(crate::Side::Server, crate::Mode::Plain);
    let now = super::super::now();
    let mut session = crate::Session::new(Arc::new(config), now);
    let epoch = session.reserve();
    session.attach(epoch, None, now).unwrap();
    for frame in &shared[1..] {
        session.send_span(frame, crate::Overflow::Reject).unwrap();
    }
    match session.poll_transmit(epoch, now) {
        Some(crate::Transmit::Batch(batch)) => batch,
        other => panic!("no batch: {other:?}"),
    }
}

#[tokio::test]
async fn counts_each_message_of_a_batch_when_written() {
    let (mut transport, mut peer) = pair(10);
    transport.push_batch(batch(&[b"0", b"123456", b"abcdef"]));
    transport.push_control(Message::text("x"));
    let (result, written) = flush(&mut transport);
    assert!(result.is_pending());
    assert_eq!(written, Written { messages: 1, data: 1, bytes: 10 });
    let mut read = [0; 10];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"123456abcd");
    let (result, written) = flush(&mut transport);
    assert!(matches!(result, Poll::Ready(Ok(()))));
    assert_eq!(written, Written { messages: 2, data: 1, bytes: 5 });
}

#[tokio::test]
async fn counts_all_messages_of_a_written_batch() {
    let (mut transport, _peer) = pair(1024);
    transport.push_batch(batch(&[b"0", b"123456", b"abcdef"]));
    assert_eq!(flush(&mut transport).1, Written { messages: 2, data: 2, bytes: 12 });
    let mut taken = 0;
    while transport.has_capacity() {
        transport.push_batch(batch(&[b"0", b"123456", b"abcdef"]));
        taken += 2;
    }
    assert_eq!(taken, MAX_BATCH);
}

#[tokio::test]
async fn a_pong_for_leftover_bytes_is_sent_first() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let early = [masked(9, b"p"), masked(1, b"text")].concat();
    let mut transport = WsTransport::new(ours, Unmasked, &early, 1024);
    // The session pauses, with the ping unanswered.
    assert_eq!(receive(&mut transport, 1).0, ["text"]);
    let mut written = Written::default();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(transport.poll_send(&mut cx, &Bytes::from_static(b"x"), &mut written).is_ready());
    let mut read = [0; 4];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"\x8a\x01px");
}

#[tokio::test]
async fn a_client_masks_a_message_sent_at_once() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let mut transport = WsTransport::new(ours, Masked(|| [1; 4]), &[], 1024);
    let mut cx = Context::from_waker(Waker::noop());
    let mut written = Written::default();
    assert!(transport.poll_send(&mut cx, &Bytes::from_static(b"\x81\x01a"), &mut written).is_ready());
    let mut read = [0; 7];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"\x81\x81\x01\x01\x01\x01\x60");
}

#[tokio::test]
async fn a_client_masks_each_message_of_a_batch() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let mut transport = WsTransport::new(ours, Masked(|| [1; 4]), &[], 1024);
    transport.push_batch(batch(&[b"0", b"\x81\x01a", b"\x81\x01b"]));
    let mut written = Written::default();
    let flushed = transport.poll_flush(&mut Context::from_waker(Waker::noop()), &mut written);
    assert!(matches!(flushed, Poll::Ready(Ok(()))));
    assert_eq!(written.data, 2);
    let mut read = [0; 14];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"\x81\x81\x01\x01\x01\x01\x60\x81\x81\x01\x01\x01\x01\x63");
}

#[tokio::test]
async fn answers_the_latest_pings_in_order() {
    let (mut transport, mut peer) = pair(1024);
    for payload in 0..20 {
        peer.write_all(&masked(9, &[payload])).await.unwrap();
    }
    let _ = receive(&mut transport, 9);
    assert!(matches!(flush(&mut transport).0, Poll::Ready(Ok(()))));
    let mut pongs = vec![0; 3 * MAX_PONGS];
    peer.read_exact(&mut pongs).await.unwrap();
    let expected: Vec<u8> = (4..20).flat_map(|payload| [0x8a, 1, payload]).collect();
    assert_eq!(pongs, expected);
}

#[tokio::test]
async fn takes_at_most_a_batch_from_the_session() {
    let (mut transport, _peer) = pair(16);
    let mut taken = 0;
    while transport.has_capacity() {
        transport.push_data(Bytes::from_static(b"x"));
        taken += 1;
    }
    assert_eq!(taken, MAX_BATCH);
    let (mut transport, _peer) = pair(16);
    transport.push_data(vec![0; MAX_BATCH_BYTES].into());
    assert!(!transport.has_capacity());
}

#[tokio::test]
async fn is_idle_with_nothing_to_write_or_flush() {
    let (mut transport, mut peer) = pair(8);
    assert!(transport.is_idle());
    peer.write_all(&masked(9, b"p")).await.unwrap();
    assert!(receive(&mut transport, 9).0.is_empty());
    assert!(!transport.is_idle(), "a pong waits");
    assert!(flush(&mut transport).0.is_ready() && transport.is_idle());
    transport.push_data(Bytes::from_static(b"12345678"));
    assert!(!transport.is_idle(), "a message waits");
    assert!(flush(&mut transport).0.is_pending() && !transport.is_idle());
    peer.read_exact(&mut [0; 8]).await.unwrap();
    assert!(flush(&mut transport).0.is_ready() && transport.is_idle());
}

#[test]
fn a_stream_is_flushed_once_per_write() {
    let mut transport = WsTransport::new(Buffering::default(), Unmasked, &[], 1024);
    let mut cx = Context::from_waker(Waker::noop());
    let mut written = Written::default();
    assert!(transport.poll_flush(&mut cx, &mut written).is_ready(), "there is nothing to flush");
    for sends_at_once in [false, true] {
        transport.io = Buffering::default();
        let message = Bytes::from_static(b"message");
        if sends_at_once {
            assert!(transport.poll_send(&mut cx, &message, &mut written).is_pending());
        } else {
            transport.push_data(message);
            assert!(transport.poll_flush(&mut cx, &mut written).is_pending());
        }
        assert!(!transport.is_idle(), "the stream holds it");
        transport.io.is_ready = true;
        for _ in 0..2 {
            assert!(transport.poll_flush(&mut cx, &mut written).is_ready() && transport.is_idle());
        }
        assert_eq!(transport.io.flushes, 2);
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffers() {
    let (mut transport, mut peer) = pair(4096);
    for _ in 0..40 {
        transport.push_data(Bytes::from_static(b"hello"));
        peer.write_all(&masked(9, b"p")).await.unwrap();
    }
    let _ = receive(&mut transport, 9);
    assert!(matches!(flush(&mut transport).0, Poll::Ready(Ok(()))));
    assert!(transport.pongs.is_none() && transport.leftover.is_none());
    assert_eq!(transport.queue.capacity() + transport.decoder.buffered(), 0);
}

#[tokio::test]
async fn violations_and_stream_ends_are_different_errors() {
    let (mut transport, mut peer) = pair(64);
    peer.write_all(b"\x81\x01x").await.unwrap();
    let (_, result) = receive(&mut transport, 9);
    assert!(matches!(result, Poll::Ready(ReceiveError::Protocol(frame)) if frame.code == 1002));
    let (mut transport, peer) = pair(64);
    drop(peer);
    let (_, result) = receive(&mut transport, 9);
    assert!(
        matches!(result, Poll::Ready(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof)
    );
}

#[tokio::test]
async fn a_client_masks_each_frame_with_fresh_keys() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let mut keys = 0;
    let key = move || {
        keys += 1;
        [keys, 0, 0, 0]
    };
    let mut transport = WsTransport::new(ours, Masked(key), &[], 1024);
    transport.push_data(ws::encode_message(crate::MessageKind::Text, b"ab"));
    transport.push_ping();
    transport.push_close(Some(&CloseFrame::from_static(1000, "")));
    let mut written = Written::default();
    let flushed = transport.poll_flush(&mut Context::from_waker(Waker::noop()), &mut written);
    assert!(matches!(flushed, Poll::Ready(Ok(()))));
    let mut read = [0; 22];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"\x81\x82\x01\0\0\0\x60b\x89\x80\x02\0\0\0\x88\x82\x03\0\0\0\x00\xe8");
}

#[tokio::test]
async fn nothing_is_received_behind_a_close_frame() {
    let (mut transport, mut peer) = pair(64);
    peer.write_all(&masked(8, &[3, 232])).await.unwrap();
    peer.write_all(&masked(1, b"late")).await.unwrap();
    for _ in 0..2 {
        let (texts, result) = receive(&mut transport, 9);
        assert!(texts.is_empty() && result.is_pending());
    }
}
