//! [`ResponseBody`]: the content of an answer that another HTTP server sends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body of a response of [`Service`](crate::Service): a short text, or nothing. It is complete from the start.
///
/// A surrounding service that answers other paths itself can create bodies from texts and bytes with `into()`.
#[derive(Debug, Default)]
pub struct ResponseBody {
    /// Empty once it has been read.
    content: Bytes,
}

impl ResponseBody {
    pub(crate) fn new(content: Bytes) -> Self {
        Self { content }
    }
}

impl<T: Into<Bytes>> From<T> for ResponseBody {
    fn from(content: T) -> Self {
        Self { content: content.into() }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let content = std::mem::take(&mut self.content);
        Poll::Ready((!content.is_empty()).then(|| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn body_is_read_once_with_known_size() {
        let mut cx = Context::from_waker(Waker::noop());
        for (text, frames) in [("why", 1), ("", 0)] {
            let mut body = ResponseBody::new(Bytes::from_static(text.as_bytes()));
            assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
            for _ in 0..frames {
                assert!(!body.is_end_stream());
                let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else { panic!() };
                assert_eq!(frame.into_data().unwrap(), text);
            }
            assert!(body.is_end_stream());
            assert!(matches!(Pin::new(&mut body).poll_frame(&mut cx), Poll::Ready(None)));
        }
    }
}
