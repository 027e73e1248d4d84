//! Frames that wait to be sent, bounded in bytes.
//!
//! Comes in: encoded packets. Goes out: frames one by one for a WebSocket, or as many as fit into
//! the body of a POST.

use crate::engine;
use crate::frame::Frame;
use std::collections::VecDeque;

/// The queue of a session.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// The first frames whose body is no larger than `limit`; one at least, as npm does it: the
    /// server is to say what it thinks of a packet that is too large.
    pub(crate) fn take_body(&mut self, limit: usize) -> Vec<Frame> {
        let (mut taken, mut size) = (Vec::new(), 0);
        while let Some(next) = self.frames.front() {
            size += engine::encoded_len(next) + 1;
            if !taken.is_empty() && size - 1 > limit {
                break;
            }
            taken.extend(self.pop());
        }
        taken
    }
}
