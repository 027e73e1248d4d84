//! The HTTP/1.1 client of one virtual user: one connection, one exchange at a time, reused for as
//! long as the server keeps it.
//!
//! In: a prepared request. Out: a [`Reply`] with its times. Checks, captures and counting are
//! left to the virtual user.

use super::reply::{BodyLength, Chunks, Head, parse_head};
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::watch::Watch;
use crate::wire::{Dial, HTTP1, REPLY_MAX, Wire};

/// Read buffer of a connection: most replies of an API fit, and 64 of them fit a core's cache.
const BUFFER: usize = 8 * 1024;

const DIAL: Dial = Dial { buffer: BUFFER, protocols: &[HTTP1] };

/// The client of one virtual user.
#[derive(Default)]
pub(crate) struct HttpClient {
    wire: Option<Wire>,
    /// Body of the last reply, when it was asked for.
    pub(crate) body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Bytes read, head included.
    pub(crate) bytes: u64,
    /// When the request had been written, if that was not at once.
    pub(crate) sent: Option<u64>,
    /// When the first of several pieces came.
    pub(crate) first: Option<u64>,
    /// When the last byte came.
    pub(crate) done: u64,
    /// The connection was reused and turned out to be closed before a byte of the reply.
    close: bool,
}

/// What to do with a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The reply has no body, whatever its head says.
    pub(crate) head: bool,
    /// Keep the body.
    pub(crate) body: bool,
}

impl HttpClient {
    /// Whether a connection is open.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.wire.is_some()
    }

    /// Opens a connection.
    pub(crate) async fn open(&mut self, lane: &Lane, watch: &Watch) -> Result<(), Failure> {
        self.wire = Some(Wire::connect(lane, watch, DIAL).await?);
        Ok(())
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        self.wire = None;
    }

    /// One exchange on the open connection. Whatever fails, the connection is given up.
    #[inline]
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Reply, Failure> {
        let Some(wire) = &mut self.wire else { return Err(Failure::Closed) };
        let result = exchange(wire, &mut self.body, request, wanted, (lane, watch)).await;
        if result.as_ref().map_or(true, |reply| reply.close) {
            self.wire = None;
        }
        result
    }
}

#[inline]
async fn exchange(
    wire: &mut Wire,
    body: &mut Vec<u8>,
    request: &[u8],
    wanted: Wanted,
    (lane, watch): (&Lane, &Watch),
) -> Result<Reply, Failure> {
    let blocked = wire.write_all(request, watch).await?;
    let sent = blocked.then(|| lane.now());
    let mut reply = Reply { status: 0, bytes: 0, sent, first: None, done: 0, close: false };
    loop {
        reply.bytes += wire.fill(watch).await? as u64;
        if let Some(head) = parse_head(wire.bytes(), wanted.head)? {
            let whole = match head.body {
                BodyLength::Fixed(length) => {
                    let total = head.length as u64 + length;
                    total == wire.bytes().len() as u64 && !(100..200).contains(&head.status)
                }
                _ => false,
            };
            if !whole {
                return rest_of_reply(wire, body, (head, reply), wanted, (lane, watch)).await;
            }
            reply.done = lane.now();
            reply.status = head.status;
            reply.close = head.close;
            if wanted.body {
                body.clear();
                body.extend_from_slice(&wire.bytes()[head.length..]);
            }
            wire.consume(wire.bytes().len());
            return Ok(reply);
        }
        // More than one read: from now on the first byte has a time of its own.
        if reply.first.is_none() {
            reply.first = Some(lane.now());
        }
        wire.reserve(0)?;
    }
}

/// The body of a reply that did not come in one piece with its head.
async fn rest_of_reply(
    wire: &mut Wire,
    body: &mut Vec<u8>,
    (mut head, mut reply): (Head, Reply),
    wanted: Wanted,
    (lane, watch): (&Lane, &Watch),
) -> Result<Reply, Failure> {
    reply.first.get_or_insert_with(|| lane.now());
    body.clear();
    // Interim replies (100 Continue, 103 Early Hints) come before the one that counts.
    while (100..200).contains(&head.status) {
        wire.consume(head.length);
        loop {
            if let Some(next) = parse_head(wire.bytes(), wanted.head)? {
                head = next;
                break;
            }
            reply.bytes += wire.fill(watch).await? as u64;
        }
    }
    wire.consume(head.length);
    reply.status = head.status;
    reply.close = head.close;
    let mut chunks = Chunks::default();
    let mut left = match head.body {
        BodyLength::Fixed(length) => length,
        BodyLength::Chunked | BodyLength::UntilClose => u64::MAX,
    };
    loop {
        let bytes = wire.bytes();
        let used = if head.body == BodyLength::Chunked {
            chunks.feed(bytes, wanted.body.then_some(&mut *body))?
        } else {
            let take = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if wanted.body {
                body.extend_from_slice(&bytes[..take]);
            }
            take
        };
        if body.len() > REPLY_MAX {
            return Err(Failure::TooLarge);
        }
        wire.consume(used);
        left = left.saturating_sub(used as u64);
        if left == 0 || chunks.is_done() {
            break;
        }
        match wire.fill(watch).await {
            Ok(read) => reply.bytes += read as u64,
            Err(Failure::Closed) if head.body == BodyLength::UntilClose => break,
            Err(failure) => return Err(failure),
        }
    }
    reply.done = lane.now();
    Ok(reply)
}
