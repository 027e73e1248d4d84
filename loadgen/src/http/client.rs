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

const DIAL: Dial = Dial { buffer: BUFFER, protocols: &[HTTP1], tunnel: false };

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
    /// The connection has carried an exchange already.
    used: bool,
    pub(crate) kept: Kept,
    /// The connection that an exchange had to be repeated on, until its times are asked for.
    pub(crate) reopened: Option<Opened>,
    /// A request as a proxy is asked for it.
    forwarded: Vec<u8>,
}

/// Times of a connection made, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// Since the engine began.
    pub(crate) begin: u64,
    /// Since the engine began.
    pub(crate) end: u64,
    /// Length of the TLS handshake; none without TLS.
    pub(crate) handshake: Option<u64>,
    /// It was made for the one who asked; false when somebody else did.
    pub(crate) made: bool,
}

/// What is kept of the last reply.
#[derive(Default)]
pub(crate) struct Kept {
    /// Its head as it came, when it was asked for.
    pub(crate) head: Vec<u8>,
    /// Its body, when it was asked for.
    pub(crate) body: Vec<u8>,
    /// The exchange failed before a byte of its reply came.
    silent: bool,
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
    /// Whether a connection is open, as far as is known.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // One that the peer has closed meanwhile is no use to anyone.
        match &self.wire {
            Some(wire) => !wire.is_ended(),
            None => self.seat.as_ref().is_some_and(Seat::is_open),
        }
    }

    /// A client with a connection of its own, or with a place on one.
    pub(crate) fn new(seat: Option<Seat>, once: bool) -> Self {
        Self { seat, once, ..Self::default() }
    }

    /// Opens a connection, or waits for whoever opens the one that is shared.
    pub(crate) async fn open(&mut self, lane: &Lane, watch: &Watch) -> Result<Opened, Failure> {
        let begin = lane.now();
        if let Some(seat) = &self.seat {
            let made = seat.open(watch.deadline(), watch).await?;
            return Ok(Opened { begin, end: lane.now(), handshake: seat.handshake(), made });
        }
        if self.wire.take().is_some() {
            lane.note(|recorder| recorder.counters.http_reconnects += 1);
        }
        self.used = false;
        let wire = self.wire.insert(Wire::connect(lane, watch, DIAL).await?);
        Ok(Opened { begin, end: lane.now(), handshake: wire.handshake(), made: true })
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
        if self.seat.is_some() {
            return self.exchange_shared(request, wanted, watch).await;
        }
        if lane.route.forward.is_some() && lane.tls.is_none() {
            return Box::pin(self.exchange_forwarded(request, wanted, (lane, watch))).await;
        }
        self.exchange_whole(request, wanted, (lane, watch)).await
    }

    #[inline]
    async fn exchange_whole(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Reply, Failure> {
        let Some(wire) = &mut self.wire else { return Err(Failure::Closed) };
        let result = exchange(wire, &mut self.kept, request, wanted, (lane, watch)).await;
        match result {
            Ok(reply) => {
                self.used = true;
                if reply.close | self.once {
                    self.wire = None;
                }
                Ok(reply)
            }
            Err(failure) => {
                let closed = matches!(failure, Failure::Closed | Failure::Reset | Failure::Tls(_));
                let silent = std::mem::take(&mut self.kept.silent);
                if !(self.used && silent && closed && is_safe(request)) {
                    self.wire = None;
                    return Err(failure);
                }
                // On the heap, since a user that needs it is rare and its state is large.
                Box::pin(self.repeat(request, wanted, (lane, watch))).await
            }
        }
    }

    /// A kept connection that the server closed while the request was on its way is no failure
    /// of either (RFC 9112, section 9.3.1): the exchange is repeated once on a fresh one.
    #[cold]
    async fn repeat(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Reply, Failure> {
        let opened = self.open(lane, watch).await?;
        self.reopened = Some(opened);
        let Some(wire) = &mut self.wire else { return Err(Failure::Closed) };
        let result = exchange(wire, &mut self.kept, request, wanted, (lane, watch)).await;
        self.used = true;
        self.kept.silent = false;
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

    /// The same as a proxy wants it: with a whole URL.
    #[cold]
    async fn exchange_forwarded(
        &mut self,
        request: &[u8],
        wanted: Wanted,
        lane: (&Lane, &Watch),
    ) -> Result<Reply, Failure> {
        let mut forwarded = std::mem::take(&mut self.forwarded);
        forwarded.clear();
        if let Some(forward) = &lane.0.route.forward {
            forward.rewrite(request, &mut forwarded);
        }
        let result = self.exchange_whole(&forwarded, wanted, lane).await;
        self.forwarded = forwarded;
        result
    }
}

/// Whether a request may arrive twice without doing more than once (RFC 9110, section 9.2.1): the
/// methods that Go's client, and so k6, sends again.
fn is_safe(request: &[u8]) -> bool {
    let methods: [&[u8]; 4] = [b"GET ", b"HEAD ", b"OPTIONS ", b"TRACE "];
    methods.iter().any(|method| request.starts_with(method))
}

#[inline]
async fn exchange(
    wire: &mut Wire,
    kept: &mut Kept,
    request: &[u8],
    wanted: Wanted,
    (lane, watch): (&Lane, &Watch),
) -> Result<Reply, Failure> {
    let blocked = match wire.write_all(request, watch).await {
        Ok(blocked) => blocked,
        Err(failure) => {
            kept.silent = true;
            return Err(failure);
        }
    };
    let sent = blocked.then(|| lane.now());
    let mut reply = Reply { sent, ..Reply::default() };
    match wire.fill(watch).await {
        Ok(read) => reply.bytes += read as u64,
        Err(failure) => {
            kept.silent = true;
            return Err(failure);
        }
    }
    let Some(head) = parse_head(wire.bytes(), wanted.head)? else {
        // More than one read: from now on the first byte has a time of its own.
        reply.first = Some(lane.now());
        let head = rest_of_head(wire, &mut reply, wanted, (lane, watch)).await?;
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
    lane: (&Lane, &Watch),
) -> Result<Head, Failure> {
    loop {
        let seen = wire.bytes().len();
        if seen > HEAD_MAX {
            return Err(Failure::TooLarge);
        }
        wire.reserve(0)?;
        reply.bytes += wire.fill_in_turn(lane).await? as u64;
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
            None => rest_of_head(wire, &mut reply, wanted, (lane, watch)).await?,
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
        match wire.fill_in_turn((lane, watch)).await {
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
