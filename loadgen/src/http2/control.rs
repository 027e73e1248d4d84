//! Frames of the connection rather than of a reply: settings, pings, windows, resets, farewells.
//!
//! In: a frame. Out: what changes in the session, and what is answered.

use super::frame::{self, Head, PAYLOAD_MAX, WINDOW_MAX, code, flag, kind, setting};
use super::session::{Fatal, OUT_MAX, Session, broken};
use crate::flight::Flights;
use crate::sample::Failure;

const fn sized(what: &'static str) -> Fatal {
    Fatal(code::FRAME_SIZE_ERROR, what)
}

impl Session {
    pub(super) fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream != 0 {
            return Err(broken("settings of a stream"));
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() { Ok(()) } else { Err(sized("settings that answer")) };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(sized("settings cut off"));
        }
        for entry in payload.chunks_exact(6) {
            let number = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            self.set(number, value)?;
        }
        self.greeted = true;
        self.answer(kind::SETTINGS, &[])?;
        self.open_waiting();
        self.pump();
        Ok(())
    }

    fn set(&mut self, number: u16, value: u32) -> Result<(), Fatal> {
        match number {
            setting::ENABLE_PUSH if value != 0 => {
                Err(broken("a server that wants to be pushed to"))
            }
            setting::STREAMS_MAX => {
                self.streams_max = value;
                Ok(())
            }
            setting::WINDOW => {
                let window = i64::from(value);
                let change = window - self.window_first;
                let windows = self.streams.values_mut().map(|stream| {
                    stream.window += change;
                    stream.window
                });
                if window > WINDOW_MAX || windows.max().is_some_and(|most| most > WINDOW_MAX) {
                    return Err(Fatal(code::FLOW_CONTROL_ERROR, "window too large"));
                }
                self.window_first = window;
                Ok(())
            }
            setting::FRAME_MAX => {
                if !(PAYLOAD_MAX..1 << 24).contains(&(value as usize)) {
                    return Err(broken("frame size out of range"));
                }
                // Larger frames would gain nothing.
                Ok(())
            }
            // Our blocks use no table, so its size means nothing; a limit on headers is advice.
            _ => Ok(()),
        }
    }

    /// Answers a frame of the connection, unless the peer asks and does not read.
    fn answer(&mut self, kind: u8, payload: &[u8]) -> Result<(), Fatal> {
        if self.out.len() > OUT_MAX {
            return Err(Fatal(code::ENHANCE_YOUR_CALM, "the peer asks and does not read"));
        }
        frame::write(&mut self.out, (kind, flag::ACK), 0, payload);
        Ok(())
    }

    pub(super) fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fatal> {
        match (head.stream, payload.len()) {
            (0, 8) if head.has(flag::ACK) => Ok(()),
            (0, 8) => self.answer(kind::PING, payload),
            (0, _) => Err(sized("ping of a wrong length")),
            _ => Err(broken("ping of a stream")),
        }
    }

    pub(super) fn window_update(
        &mut self,
        head: Head,
        payload: &[u8],
        flights: &mut Flights,
    ) -> Result<(), Fatal> {
        let more = payload.try_into().map_err(|_| sized("window update of a wrong length"))?;
        let more = i64::from(u32::from_be_bytes(more) & frame::STREAM_MAX);
        if head.stream == 0 {
            self.window += more;
            if more == 0 {
                return Err(broken("window update of nothing"));
            }
            if self.window > WINDOW_MAX {
                return Err(Fatal(code::FLOW_CONTROL_ERROR, "window too large"));
            }
        } else {
            self.known(head)?;
            let Some(stream) = self.streams.get_mut(&head.stream) else { return Ok(()) };
            stream.window += more;
            let fault = match more {
                0 => Some((code::PROTOCOL_ERROR, "window update of nothing")),
                _ if stream.window > WINDOW_MAX => {
                    Some((code::FLOW_CONTROL_ERROR, "window too large"))
                }
                _ => None,
            };
            if let Some((code, what)) = fault {
                self.ended(head.stream, Err((code, Failure::Http2(what))), flights);
            }
        }
        if !self.uploads.is_empty() {
            self.pump();
        }
        Ok(())
    }

    pub(super) fn stream_reset(
        &mut self,
        head: Head,
        payload: &[u8],
        flights: &mut Flights,
    ) -> Result<(), Fatal> {
        let code = payload.try_into().map_err(|_| sized("reset of a wrong length"))?;
        self.known(head)?;
        let failure = Failure::StreamReset(u32::from_be_bytes(code));
        self.close(head.stream, Err(failure), flights);
        Ok(())
    }

    pub(super) fn goaway(
        &mut self,
        head: Head,
        payload: &[u8],
        flights: &mut Flights,
    ) -> Result<(), Fatal> {
        if head.stream != 0 {
            return Err(broken("farewell of a stream"));
        }
        let Some([l3, l2, l1, l0, c3, c2, c1, c0]) = payload.first_chunk::<8>().copied() else {
            return Err(sized("farewell cut off"));
        };
        let last = u32::from_be_bytes([l3, l2, l1, l0]) & frame::STREAM_MAX;
        let code = u32::from_be_bytes([c3, c2, c1, c0]);
        if self.farewell.is_some_and(|(before, _)| last > before) {
            return Err(broken("farewell that takes an earlier one back"));
        }
        self.farewell = Some((last, code));
        // What was not opened will not be, and what lies behind the last one was not looked at.
        for waiting in std::mem::take(&mut self.waiting) {
            flights.land(waiting.key, Err(Failure::GoAway(code)));
        }
        let behind = self.streams.keys().copied().filter(|number| *number > last);
        for number in behind.collect::<Vec<u32>>() {
            self.close(number, Err(Failure::GoAway(code)), flights);
        }
        Ok(())
    }
}
