//! [`Connection::sink`]: sends frames as a `Sink`.

use rejoin_core::drive::{EncodedFrame, FrameSink, FrameTarget, SendError, SharedSession};
use rejoin_core::{Frame, Overflow};

use super::Connection;

impl Connection {
    /// Returns a sink for this connection's frames: for `forward`, and for libraries that write to sinks. It waits for capacity as
    /// [`Self::send_wait`] does, but without a limit. A flush completes when the frames are accepted, and a close closes the sink,
    /// not the connection. Each call returns another sink; frames of different sinks may mix.
    pub fn sink(&self) -> FrameSink<Self> {
        FrameSink::new(self.clone())
    }
}

impl FrameTarget for Connection {
    fn session(&self) -> &SharedSession {
        self.session()
    }

    fn encode(&self, frame: &Frame) -> Result<EncodedFrame, SendError> {
        Self::encode(self, frame)
    }

    fn divert(
        &self,
        frame: &Frame,
        message: &EncodedFrame,
        is_question: bool,
    ) -> Option<Result<(), SendError>> {
        if is_question {
            self.say_question(frame, message)
        } else {
            self.say(frame, message, Overflow::Reject)
        }
    }
}
