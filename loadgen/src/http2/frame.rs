//! HTTP/2 frames: their heads, kinds, flags and error codes (RFC 9113, sections 4, 6 and 7).
//!
//! In: bytes. Out: heads of frames, and the way back. What a frame means is left to the session.

/// Bytes of a frame's head.
pub const HEAD: usize = 9;

/// What a client sends first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Payload of a frame at most, unless settings say otherwise (section 6.5.2).
pub const PAYLOAD_MAX: usize = 16_384;

/// Flow-control windows at the start (section 6.9.2).
pub const WINDOW_FIRST: i64 = 65_535;

/// Flow-control windows at most (section 6.9.1).
pub const WINDOW_MAX: i64 = (1 << 31) - 1;

/// Stream numbers have 31 bits.
pub const STREAM_MAX: u32 = (1 << 31) - 1;

/// Kinds of frames (section 6).
pub mod kind {
    /// Part of a body.
    pub const DATA: u8 = 0;
    /// Begin of a header block.
    pub const HEADERS: u8 = 1;
    /// Priority of a stream; without meaning nowadays.
    pub const PRIORITY: u8 = 2;
    /// End of a stream before its time.
    pub const RST_STREAM: u8 = 3;
    /// Settings, or their acknowledgement.
    pub const SETTINGS: u8 = 4;
    /// A request that the server makes up itself.
    pub const PUSH_PROMISE: u8 = 5;
    /// A ping, or its answer.
    pub const PING: u8 = 6;
    /// No more streams.
    pub const GOAWAY: u8 = 7;
    /// Leave to send more.
    pub const WINDOW_UPDATE: u8 = 8;
    /// More of a header block.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// Of `SETTINGS` and `PING`: the answer to one.
    pub const ACK: u8 = 1;
    /// The sender's last frame of the stream.
    pub const END_STREAM: u8 = 1;
    /// The header block is complete.
    pub const END_HEADERS: u8 = 4;
    /// The payload begins with the length of what pads it.
    pub const PADDED: u8 = 8;
    /// The header block begins with a priority.
    pub const PRIORITY: u8 = 0x20;
}

/// Numbers of settings (section 6.5.2).
pub mod setting {
    /// Whether the server may push.
    pub const ENABLE_PUSH: u16 = 2;
    /// Streams that the sender lets be open.
    pub const STREAMS_MAX: u16 = 3;
    /// Window of each new stream.
    pub const WINDOW: u16 = 4;
    /// Payload of a frame that the sender takes.
    pub const FRAME_MAX: u16 = 5;
    /// Headers that the sender takes, uncompressed.
    pub const HEADERS_MAX: u16 = 6;
}

/// Error codes (section 7).
pub mod code {
    /// No error.
    pub const NO_ERROR: u32 = 0;
    /// What the peer sent has no meaning there.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// More was sent than the window allows.
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    /// A frame of a length that its kind cannot have.
    pub const FRAME_SIZE_ERROR: u32 = 6;
    /// The stream is not needed any more.
    pub const CANCEL: u32 = 8;
    /// Headers cannot be decompressed.
    pub const COMPRESSION_ERROR: u32 = 9;
    /// The peer does too much of something.
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Bytes of payload.
    pub length: usize,
    /// What it is.
    pub kind: u8,
    /// What holds of it.
    pub flags: u8,
    /// The stream; 0 for the connection.
    pub stream: u32,
}

impl Head {
    /// The head that bytes begin with; none while it is incomplete.
    #[inline]
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [l2, l1, l0, kind, flags, s3, s2, s1, s0] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l2, l1, l0]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s3, s2, s1, s0]) & STREAM_MAX,
        })
    }

    /// Whether a flag is set.
    #[inline]
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Appends the head.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let [_, l2, l1, l0] = (self.length as u32).to_be_bytes();
        let [s3, s2, s1, s0] = self.stream.to_be_bytes();
        out.extend_from_slice(&[l2, l1, l0, self.kind, self.flags, s3, s2, s1, s0]);
    }
}

/// Appends a frame whose payload is short.
pub fn write(out: &mut Vec<u8>, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
    Head { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}
