//! A connection that several virtual users share: one task reads and writes for all of them.
//!
//! In: requests of users. Out: their replies, by order or by stream. What the users of a turn have
//! to say is sent at once, after all of them had their turn. When the connection fails, every
//! request on it fails with the reason, once. Who shares it is left to the pool.

use super::client::Kept;
use super::pipeline::Pipeline;
use crate::flight::{Flights, Key, Wish};
use crate::http2::session::Session;
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::watch::Watch;
use crate::wire::{Dial, HTTP1, HTTP2, Wire};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Read buffer of a connection: a frame of HTTP/2 fits, with its head.
const BUFFER: usize = 16 * 1024 + 512;

const NO_STREAMS: Failure = Failure::Http2("the peer did not agree to it (ALPN)");

/// Reads in one go before the others of the thread have their turn.
const READS: usize = 16;

/// What is spoken on a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Speech {
    /// HTTP/1.1, replies in order.
    Ordered,
    /// HTTP/2.
    Streams,
    /// What the peer chooses of both over TLS; HTTP/1.1 where it has no choice.
    Agreed,
}

impl Speech {
    fn dial(self) -> Dial {
        let protocols: &[&[u8]] = match self {
            Self::Ordered => &[HTTP1],
            Self::Streams => &[HTTP2],
            Self::Agreed => &[HTTP2, HTTP1],
        };
        Dial { buffer: BUFFER, protocols, tunnel: true }
    }

    /// The protocol of a wire, once it is connected.
    fn protocol(self, wire: &Wire, secure: bool) -> Result<Protocol, Failure> {
        let agreed = wire.alpn() == Some(HTTP2);
        match self {
            Self::Streams if secure && !agreed => Err(NO_STREAMS),
            Self::Agreed if !agreed => Ok(Protocol::Ordered(Pipeline::default())),
            Self::Ordered => Ok(Protocol::Ordered(Pipeline::default())),
            Self::Streams | Self::Agreed => Ok(Protocol::Streams(Box::new(Session::new()))),
        }
    }
}

enum Protocol {
    Ordered(Pipeline),
    Streams(Box<Session>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Opening,
    Open,
    Over(Failure),
}

struct State {
    wire: Option<Wire>,
    protocol: Protocol,
    flights: Flights,
    stage: Stage,
    /// No new requests; it ends once those in flight have landed.
    retired: bool,
    /// Tasks that wait for it to open.
    openers: Vec<usize>,
    /// The task that drives it.
    driver: usize,
    /// The driver is to be polled.
    roused: bool,
    /// Bytes of `out` that have been sent.
    sent: usize,
}

/// A shared connection.
pub(crate) struct Link {
    state: RefCell<State>,
    watch: Rc<Watch>,
}

/// A request in both forms, of which the link's protocol takes one.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// The whole of it as HTTP/1.1 writes it.
    pub(crate) text: &'a [u8],
    /// Its header block.
    pub(crate) block: &'a [u8],
    /// Its body.
    pub(crate) body: &'a [u8],
}

/// A request's place on a link, given up when whoever waits is gone.
struct Ticket<'l> {
    link: &'l Link,
    lane: &'l Lane,
    key: Key,
    taken: bool,
}

/// What came back on a link.
pub(crate) struct Landed {
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) first: Option<u64>,
    pub(crate) done: u64,
    pub(crate) kept: bool,
    pub(crate) notable: bool,
}

impl Link {
    /// Opens a connection, driven by a task of its own that a watch of the flow can end.
    pub(crate) fn open(lane: Rc<Lane>, flow: usize, speech: Speech, deadline: u64) -> Rc<Self> {
        let state = State {
            wire: None,
            // Until it is known.
            protocol: Protocol::Ordered(Pipeline::default()),
            flights: Flights::default(),
            stage: Stage::Opening,
            retired: false,
            openers: Vec::new(),
            driver: usize::MAX,
            roused: false,
            sent: 0,
        };
        let watch = lane.watch(flow);
        watch.set(deadline);
        let link = Rc::new(Self { state: RefCell::new(state), watch });
        let reactor = Rc::clone(&lane.reactor);
        reactor.spawn(drive(Rc::clone(&link), lane, speech));
        link
    }

    /// Whether requests can be sent now.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        state.stage == Stage::Open && state.takes()
    }

    /// Nanoseconds that its TLS handshake took; none without TLS.
    pub(crate) fn handshake(&self) -> Option<u64> {
        self.state.borrow().wire.as_ref()?.handshake()
    }

    /// Whether it is worth waiting for, or ready.
    pub(crate) fn is_alive(&self) -> bool {
        let state = self.state.borrow();
        state.stage == Stage::Opening || state.stage == Stage::Open && state.takes()
    }

    /// Waits until it is open.
    pub(crate) async fn opened(&self, lane: &Lane, watch: &Watch) -> Result<(), Failure> {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            match state.stage {
                Stage::Open => Poll::Ready(Ok(())),
                Stage::Over(failure) => Poll::Ready(Err(failure)),
                Stage::Opening => {
                    let task = lane.reactor.current();
                    if !state.openers.contains(&task) {
                        state.openers.push(task);
                    }
                    watch.poll_end(context).map(Err)
                }
            }
        })
        .await
    }

    /// No new requests; it ends once those in flight have landed.
    pub(crate) fn retire(&self, lane: &Lane) {
        let mut state = self.state.borrow_mut();
        state.retired = true;
        if state.stage == Stage::Opening {
            // Nobody waits for it.
            self.watch.set(0);
        }
        state.rouse(lane);
    }

    /// One exchange; what is wanted of the reply goes to `kept`.
    pub(crate) async fn exchange(
        &self,
        request: Outgoing<'_>,
        wish: Wish,
        kept: &mut Kept,
        (lane, watch): (&Lane, &Watch),
    ) -> Result<Landed, Failure> {
        let key = self.submit(request, wish, lane)?;
        let mut ticket = Ticket { link: self, lane, key, taken: false };
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            let Some(outcome) = state.flights.outcome(key) else {
                return watch.poll_end(context).map(Err);
            };
            let flight = state.flights.at(key);
            let landed = Landed {
                status: flight.status,
                bytes: flight.bytes,
                first: flight.first,
                done: flight.done,
                kept: flight.is_kept(),
                notable: flight.is_kept() && flight.notable,
            };
            if wish.body {
                std::mem::swap(&mut kept.body, &mut flight.body);
            }
            if landed.kept {
                std::mem::swap(&mut kept.head, &mut flight.fields);
            }
            state.flights.release(key);
            ticket.taken = true;
            Poll::Ready(outcome.map(|()| landed))
        })
        .await
    }

    fn submit(&self, request: Outgoing<'_>, wish: Wish, lane: &Lane) -> Result<Key, Failure> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        match state.stage {
            Stage::Over(failure) => return Err(failure),
            _ if !state.takes() => return Err(Failure::Closed),
            _ => {}
        }
        let key = state.flights.begin(wish, lane.reactor.current());
        match &mut state.protocol {
            Protocol::Ordered(pipeline) => pipeline.submit(key, request.text),
            Protocol::Streams(session) => session.submit(key, request.block, request.body),
        }
        state.rouse(lane);
        Ok(key)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut state = self.link.state.borrow_mut();
        let state = &mut *state;
        state.flights.forget(self.key);
        match &mut state.protocol {
            // Its reply would come first, so that nobody should come behind it.
            Protocol::Ordered(_) => state.retired = true,
            Protocol::Streams(session) => session.give_up(self.key, &mut state.flights),
        }
        state.rouse(self.lane);
    }
}

async fn drive(link: Rc<Link>, lane: Rc<Lane>, speech: Speech) {
    link.state.borrow_mut().driver = lane.reactor.current();
    let connected = Wire::connect(&lane, &link.watch, speech.dial()).await;
    {
        let mut state = link.state.borrow_mut();
        let known =
            connected.and_then(|wire| Ok((speech.protocol(&wire, lane.tls.is_some())?, wire)));
        match known {
            Ok((protocol, wire)) => {
                state.protocol = protocol;
                state.wire = Some(wire);
            }
            Err(failure) => return state.end(failure, &lane),
        }
    }
    poll_fn(|context| link.state.borrow_mut().turn((&lane, &link.watch), context)).await;
}

impl State {
    fn takes(&self) -> bool {
        let open = match &self.protocol {
            Protocol::Ordered(_) => true,
            Protocol::Streams(session) => session.is_open(),
        };
        open && !self.retired
    }

    /// Has the driver polled after the users, once.
    #[inline]
    fn rouse(&mut self, lane: &Lane) {
        if !self.roused && self.driver != usize::MAX {
            self.roused = true;
            lane.reactor.rouse_late(self.driver);
        }
    }

    /// The driver's turn: reads what has come, writes what is to be said, ends when it is time.
    fn turn(&mut self, (lane, watch): (&Lane, &Watch), context: &Context<'_>) -> Poll<()> {
        self.roused = false;
        let mut result = self.read(lane);
        if result.is_ok() && self.stage == Stage::Opening && self.is_greeted() {
            self.stage = Stage::Open;
            watch.clear();
            self.openers.drain(..).for_each(|task| lane.reactor.rouse(task));
        }
        if result.is_ok() {
            result = self.write();
        }
        if result.is_ok() && self.is_done() {
            self.leave();
            result = Err(Failure::Closed);
        }
        if result.is_ok()
            && let Poll::Ready(failure) = watch.poll_end(context)
        {
            result = Err(failure);
        }
        self.flights.landed().for_each(|task| lane.reactor.rouse(task));
        match result {
            Ok(()) => Poll::Pending,
            Err(failure) => {
                self.end(failure, lane);
                Poll::Ready(())
            }
        }
    }

    fn is_greeted(&self) -> bool {
        match &self.protocol {
            Protocol::Ordered(_) => true,
            Protocol::Streams(session) => session.is_greeted(),
        }
    }

    /// Nobody waits and nobody will: it was given up, or its peer takes nothing more.
    fn is_done(&self) -> bool {
        !self.takes() && self.flights.flying() == 0 && self.stage == Stage::Open
    }

    fn read(&mut self, lane: &Lane) -> Result<(), Failure> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        for _ in 0..READS {
            match wire.poll_fill() {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(failure)) => {
                    if let Protocol::Ordered(pipeline) = &mut self.protocol {
                        pipeline.end(lane.now(), &mut self.flights);
                    }
                    return Err(failure);
                }
            }
            let now = lane.now();
            let used = match &mut self.protocol {
                Protocol::Ordered(pipeline) => pipeline.feed(wire.bytes(), now, &mut self.flights),
                Protocol::Streams(session) => session.feed(wire.bytes(), now, &mut self.flights),
            };
            wire.consume(used?);
        }
        // There is more, and others wait.
        self.rouse(lane);
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        loop {
            let out = match &mut self.protocol {
                Protocol::Ordered(pipeline) => &mut pipeline.out,
                Protocol::Streams(session) => &mut session.out,
            };
            // Over TLS there may be records left of what was taken before.
            if out.is_empty() && !wire.has_records() {
                return Ok(());
            }
            self.sent += wire.try_write(&out[self.sent..])?;
            if self.sent < out.len() {
                return Ok(());
            }
            out.clear();
            self.sent = 0;
            if let Protocol::Streams(session) = &mut self.protocol {
                session.pump();
            }
            if wire.has_records() {
                return Ok(());
            }
        }
    }

    fn leave(&mut self) {
        if let Protocol::Streams(session) = &mut self.protocol {
            session.leave();
        }
    }

    /// The connection is over: what is in flight lands with the reason.
    fn end(&mut self, failure: Failure, lane: &Lane) {
        let (reason, loss) = match &self.protocol {
            Protocol::Ordered(_) => (failure, failure),
            Protocol::Streams(session) => (session.reason(failure), session.loss(failure)),
        };
        // The farewell, if there is room for it: nobody waits for more.
        let _ = self.write();
        self.wire = None;
        self.stage = Stage::Over(reason);
        self.flights.land_all(loss);
        self.openers.drain(..).for_each(|task| lane.reactor.rouse(task));
        self.flights.landed().for_each(|task| lane.reactor.rouse(task));
    }
}
