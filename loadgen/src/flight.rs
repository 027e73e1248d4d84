//! Requests in flight on one connection that several users share. Pure.
//!
//! In: what each waits for, and what a protocol reads for it. Out: each lands once, with its reply
//! or its failure, and is taken by whoever sent it. Which reply belongs to which request is left
//! to the protocol: the order in HTTP/1.1, the stream in HTTP/2.

use crate::plan::Heads;
use crate::sample::Failure;

/// Bytes of a reply's body that are kept at most.
pub(crate) const BODY_MAX: usize = 64 * 1024 * 1024;

/// The place of a request among those in flight.
pub(crate) type Key = usize;

/// What is wanted of a reply.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// It has no body, whatever its head says.
    pub(crate) head: bool,
    /// Its body is kept.
    pub(crate) body: bool,
    /// Whether its head is kept, as HTTP/1.1 writes it.
    pub(crate) heads: Heads,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Free,
    Flying,
    Landed(Result<(), Failure>),
    /// Nobody waits for it any more, but the protocol has to read its reply.
    Forgotten,
}

/// One request in flight, and what has come of its reply.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    pub(crate) wish: Wish,
    /// Status of the reply.
    pub(crate) status: u16,
    /// Bytes of the reply.
    pub(crate) bytes: u64,
    /// When the first of several pieces came.
    pub(crate) first: Option<u64>,
    /// When the last byte came.
    pub(crate) done: u64,
    /// The body, where it is wanted.
    pub(crate) body: Vec<u8>,
    /// It redirects or sets a cookie.
    pub(crate) notable: bool,
    /// The head, where it is wanted.
    pub(crate) fields: Vec<u8>,
    state: State,
    /// The task that waits.
    task: usize,
}

/// All requests in flight on a connection. What is freed is used again, so that a connection at
/// its pace allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    list: Vec<Flight>,
    free: Vec<Key>,
    /// Tasks whose request has landed.
    landed: Vec<usize>,
    /// Requests that somebody waits for.
    flying: usize,
}

impl Flight {
    /// Whether its head was to be kept.
    pub(crate) fn is_kept(&self) -> bool {
        match self.wish.heads {
            Heads::Never => false,
            Heads::Notable => self.notable,
            Heads::Always => true,
        }
    }
}

impl Flights {
    /// A request of a task begins.
    pub(crate) fn begin(&mut self, wish: Wish, task: usize) -> Key {
        let key = self.free.pop().unwrap_or_else(|| {
            self.list.push(Flight::default());
            self.list.len() - 1
        });
        let flight = &mut self.list[key];
        flight.wish = wish;
        flight.task = task;
        flight.state = State::Flying;
        flight.bytes = 0;
        flight.first = None;
        flight.notable = false;
        flight.body.clear();
        flight.fields.clear();
        self.flying += 1;
        key
    }

    /// The request of a key that has not been released.
    #[inline]
    pub(crate) fn at(&mut self, key: Key) -> &mut Flight {
        &mut self.list[key]
    }

    /// The reply is complete, or there will be none.
    pub(crate) fn land(&mut self, key: Key, result: Result<(), Failure>) {
        let flight = &mut self.list[key];
        match flight.state {
            State::Flying => {
                flight.state = State::Landed(result);
                self.landed.push(flight.task);
                self.flying -= 1;
            }
            State::Forgotten => {
                flight.state = State::Free;
                self.free.push(key);
            }
            State::Free | State::Landed(_) => {}
        }
    }

    /// All that fly land with the same failure.
    pub(crate) fn land_all(&mut self, failure: Failure) {
        for key in 0..self.list.len() {
            self.land(key, Err(failure));
        }
    }

    /// Nobody waits for the reply any more. The place is free once the protocol lands it.
    pub(crate) fn forget(&mut self, key: Key) {
        match self.list[key].state {
            State::Flying => {
                self.list[key].state = State::Forgotten;
                self.flying -= 1;
            }
            State::Landed(_) => self.release(key),
            State::Free | State::Forgotten => {}
        }
    }

    /// How a request ended, if it has.
    #[inline]
    pub(crate) fn outcome(&self, key: Key) -> Option<Result<(), Failure>> {
        match self.list[key].state {
            State::Landed(result) => Some(result),
            _ => None,
        }
    }

    /// Frees the place of a request whose outcome was taken.
    pub(crate) fn release(&mut self, key: Key) {
        self.list[key].state = State::Free;
        self.free.push(key);
    }

    /// Tasks to wake, each once for each of its requests that has landed.
    #[inline]
    pub(crate) fn landed(&mut self) -> impl Iterator<Item = usize> {
        self.landed.drain(..)
    }

    /// Requests that somebody waits for.
    pub(crate) fn flying(&self) -> usize {
        self.flying
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_lands_once_and_its_place_is_used_again() {
        let mut flights = Flights::default();
        let (a, b) = (flights.begin(Wish::default(), 7), flights.begin(Wish::default(), 8));
        assert_eq!(flights.flying(), 2);
        flights.land(a, Ok(()));
        flights.land(a, Err(Failure::Closed));
        assert_eq!(flights.outcome(a), Some(Ok(())));
        assert_eq!(flights.outcome(b), None);
        flights.land_all(Failure::Reset);
        assert_eq!(flights.outcome(b), Some(Err(Failure::Reset)));
        assert_eq!(flights.landed().collect::<Vec<_>>(), [7, 8]);
        flights.release(a);
        assert_eq!(flights.begin(Wish::default(), 9), a);
        // Forgotten, it keeps its place until its reply has been read.
        flights.forget(a);
        assert_eq!(flights.flying(), 0);
        let c = flights.begin(Wish::default(), 10);
        assert!(c != a && c != b);
        flights.land(a, Ok(()));
        assert_eq!(flights.landed().count(), 0);
        assert_eq!(flights.begin(Wish::default(), 11), a);
    }
}
