//! The HTTP/1.1 client of one virtual user: one connection, one exchange at a time, reused for as
//! long as the server keeps it.
//!
//! In: a prepared request. Out: a [`Reply`] with its times. Checks, captures and counting are
//! left to the virtual user.

use super::pool::Seat;
use super::reply::{BodyLength, Chunks, Head, parse_head};
use crate::flight::Wish;
use crate::http2::frame::code;
use crate::plan::Heads;
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::watch::Watch;
use crate::wire::{Dial, HTTP1, REPLY_MAX, Wire};

/// Read buffer of a connection: most replies of an API fit, and 64 of them fit a core's cache.
const BUFFER: usize = 8 * 1024;

const DIAL: Dial = Dial { buffer: BUFFER, protocols: &[HTTP1] };

/// The head of a reply at most, bytes: what Node and nginx take from a client, many times over.
const HEAD_MAX: usize = 256 * 1024;

/// Interim replies before the final one at most: a server that sends more never ends.
const INTERIM_MAX: u32 = 32;

/// How often a request is asked again that a server left undone when it said farewell in order: a
/// server that says so to everyone has a failure to answer for.
const ASKED_AGAIN_MAX: u32 = 4;

/// The client of one virtual user.
#[derive(Default)]
pub(crate) struct HttpClient {
    wire: Option<Wire>,
    /// A place on a connection that is shared, or that has streams.
    seat: Option<Seat>,
    /// Connections are used for one exchange.
    once: bool,
    pub(crate) kept: Kept,
}

/// What is kept of the last reply.
#[derive(Default)]
pub(crate) struct Kept {
    /// Its head as it came, when it was asked for.
    pub(crate) head: Vec<u8>,
    /// Its body, when it was asked for.
    pub(crate) body: Vec<u8>,
}

impl Kept {
    #[cold]
    fn keep_head(&mut self, head: &[u8]) {
        self.head.clear();
        self.head.extend_from_slice(head);
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
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
    /// Its head was kept.
    pub(crate) kept: bool,
    /// It redirects or sets a cookie, and its head was kept.
    pub(crate) notable: bool,
    /// The connection ends with it.
    close: bool,
}

/// What to do with a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The reply has no body, whatever its head says.
    pub(crate) head: bool,
    /// Keep the body.
    pub(crate) body: bool,
    /// Which heads to keep.
    pub(crate) heads: Heads,
}

impl Wanted {
    #[inline]
    fn keeps(self, head: &Head) -> bool {
        match self.heads {
            Heads::Never => false,
            Heads::Notable => head.notable,
            Heads::Always => true,
        }
    }
}

impl HttpClient {
    /// Whether a connection is open.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // One that the peer has closed meanwhile is no use to anyone.
        self.wire.as_ref().is_some_and(|wire| !wire.is_ended())
            || self.seat.as_ref().is_some_and(Seat::is_open)
    }

    /// A client with a connection of its own, or with a place on one.
    pub(crate) fn new(seat: Option<Seat>, once: bool) -> Self {
        Self { seat, once, ..Self::default() }
    }

    /// Opens a connection; false when it was somebody else who did.
    pub(crate) async fn open(&mut self, lane: &Lane, watch: &Watch) -> Result<bool, Failure> {
        if let Some(seat) = &self.seat {
            return seat.open(watch.deadline(), watch).await;
        }
        self.wire = Some(Wire::connect(lane, watch, DIAL).await?);
        Ok(true)
    }

    /// Closes the connection, unless others use it.
    pub(crate) fn close(&mut self) {
        self.wire = None;
        if let Some(seat) = &self.seat {
            seat.close();
        }
    }

    /// One exchange on the open connection. Whatever fails, the connection is given up.
    #[inline]
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Reply, Failure> {
        let Some(wire) = &mut self.wire else {
            return self.exchange_shared(request, wanted, watch).await;
        };
        let result = exchange(wire, &mut self.kept, request, wanted, (lane, watch)).await;
        if result.as_ref().map_or(true, |reply| reply.close | self.once) {
            self.wire = None;
        }
        result
    }

    /// One exchange on a shared connection. What the peer left undone when it said farewell in
    /// order is asked again on the next connection, as RFC 9113 (section 6.8) has it.
    async fn exchange_shared(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        watch: &Watch,
    ) -> Result<Reply, Failure> {
        let Some(seat) = &mut self.seat else { return Err(Failure::Closed) };
        let wish = Wish { head: wanted.head, body: wanted.body, heads: wanted.heads };
        let mut landed = seat.exchange(request, wish, &mut self.kept, watch).await;
        for _ in 0..ASKED_AGAIN_MAX {
            if !matches!(landed, Err(Failure::GoAway(code::NO_ERROR))) {
                break;
            }
            seat.open(watch.deadline(), watch).await?;
            landed = seat.exchange(request, wish, &mut self.kept, watch).await;
        }
        if self.once {
            seat.close();
        }
        landed.map(|landed| Reply {
            status: landed.status,
            bytes: landed.bytes,
            sent: None,
            first: landed.first,
            done: landed.done,
            kept: landed.kept,
            notable: landed.notable,
            close: false,
        })
    }
}

#[inline]
async fn exchange(
    wire: &mut Wire,
    kept: &mut Kept,
    request: &[u8],
    wanted: Wanted,
    (lane, watch): (&Lane, &Watch),
) -> Result<Reply, Failure> {
    let blocked = wire.write_all(request, watch).await?;
    let sent = blocked.then(|| lane.now());
    let mut reply = Reply { sent, ..Reply::default() };
    reply.bytes += wire.fill(watch).await? as u64;
    let Some(head) = parse_head(wire.bytes(), wanted.head)? else {
        // More than one read: from now on the first byte has a time of its own.
        reply.first = Some(lane.now());
        let head = rest_of_head(wire, &mut reply, wanted, watch).await?;
        return rest_of_reply(wire, kept, (head, reply), wanted, (lane, watch)).await;
    };
    let whole = match head.body {
        BodyLength::Fixed(length) => {
            let total = head.length as u64 + length;
            total == wire.bytes().len() as u64 && !(100..200).contains(&head.status)
        }
        _ => false,
    };
    if !whole {
        return rest_of_reply(wire, kept, (head, reply), wanted, (lane, watch)).await;
    }
    reply.done = lane.now();
    reply.status = head.status;
    reply.close = head.close;
    if wanted.body {
        kept.body.clear();
        kept.body.extend_from_slice(&wire.bytes()[head.length..]);
    }
    if wanted.keeps(&head) {
        kept.keep_head(&wire.bytes()[..head.length]);
        reply.kept = true;
        reply.notable = head.notable;
    }
    wire.consume(wire.bytes().len());
    Ok(reply)
}

/// The head of a reply of which a part has come. It is parsed anew only when a line has ended, so
/// that a peer that sends it byte by byte costs no more than it should.
async fn rest_of_head(
    wire: &mut Wire,
    reply: &mut Reply,
    wanted: Wanted,
    watch: &Watch,
) -> Result<Head, Failure> {
    loop {
        let seen = wire.bytes().len();
        if seen > HEAD_MAX {
            return Err(Failure::TooLarge);
        }
        wire.reserve(0)?;
        reply.bytes += wire.fill(watch).await? as u64;
        if memchr::memchr(b'\n', &wire.bytes()[seen..]).is_some()
            && let Some(head) = parse_head(wire.bytes(), wanted.head)?
        {
            return Ok(head);
        }
    }
}

/// The body of a reply that did not come in one piece with its head.
async fn rest_of_reply(
    wire: &mut Wire,
    kept: &mut Kept,
    (mut head, mut reply): (Head, Reply),
    wanted: Wanted,
    (lane, watch): (&Lane, &Watch),
) -> Result<Reply, Failure> {
    reply.first.get_or_insert_with(|| lane.now());
    kept.body.clear();
    let mut interim = 0;
    // Interim replies (100 Continue, 103 Early Hints) come before the one that counts.
    while (100..200).contains(&head.status) {
        interim += 1;
        // Nobody asked to switch protocols, and what follows such a reply is no HTTP.
        if head.status == 101 || interim > INTERIM_MAX {
            return Err(Failure::Protocol);
        }
        wire.consume(head.length);
        head = match parse_head(wire.bytes(), wanted.head)? {
            Some(next) => next,
            None => rest_of_head(wire, &mut reply, wanted, watch).await?,
        };
    }
    if wanted.keeps(&head) {
        kept.keep_head(&wire.bytes()[..head.length]);
        reply.kept = true;
        reply.notable = head.notable;
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
            chunks.feed(bytes, wanted.body.then_some(&mut kept.body))?
        } else {
            let take = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if wanted.body {
                kept.body.extend_from_slice(&bytes[..take]);
            }
            take
        };
        if kept.body.len() > REPLY_MAX {
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
    // What nobody asked for would be taken for the next reply.
    reply.close |= !wire.bytes().is_empty();
    reply.done = lane.now();
    Ok(reply)
}
