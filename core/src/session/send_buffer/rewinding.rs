//! Frames of a room's history on their way into the buffer, and what counts against its limits beside them.

use super::super::config::Mode;
use super::super::span::Span;
use super::SendBuffer;

impl SendBuffer {
    /// Numbers and keeps the frames of a room's history, in addition to the limits of the buffer. A hole is a frame that the
    /// codec cannot represent. At most `frames` frames and `bytes` bytes are kept in this way at a time: the oldest ones are left
    /// out. Returns the number of frames that are kept.
    pub(in super::super) fn append_rewound(
        &mut self,
        history: &[Option<Span>],
        frames: usize,
        bytes: usize,
    ) -> usize {
        let size = |span: &Option<Span>| span.as_ref().map_or(0, |span| span.bytes(0));
        let mut rewound = self.rewound.as_deref().copied().unwrap_or_default();
        let most = frames.saturating_sub(rewound.frames as usize);
        let mut left = bytes.saturating_sub(rewound.bytes);
        let newest = history.iter().rev().take(most).take_while(|span| {
            let fits = size(span) <= left;
            left = left.saturating_sub(size(span));
            fits
        });
        let count = newest.count();
        for span in &history[history.len() - count..] {
            match span {
                Some(span) => {
                    let bytes = span.bytes(0);
                    self.append(span, 0, bytes);
                    rewound.frames += 1;
                    rewound.bytes += bytes;
                }
                None => _ = self.push_missing(),
            }
        }
        rewound.last = self.accepted;
        self.rewound = Some(Box::new(rewound)).filter(|rewound| !rewound.is_over());
        count
    }

    /// Bytes that count against the buffer's limit.
    pub(in super::super) fn occupied_bytes(&self) -> usize {
        match &self.rewound {
            Some(rewound) => self.bytes.saturating_sub(rewound.bytes),
            None => self.bytes,
        }
    }

    /// Number of frames that count against the buffer's limit.
    pub(in super::super) fn occupied(&self) -> usize {
        let frames = match self.mode {
            Mode::Session => self.frames as usize,
            Mode::Plain => self.unsent(),
        };
        match &self.rewound {
            Some(rewound) => frames.saturating_sub(rewound.frames as usize),
            None => frames,
        }
    }
}
