//! Who shares which connection: the users of one flow on one thread, in groups.
//!
//! In: users that come and go. Out: a seat for each, on a link that is opened again when it is
//! lost. What is spoken on links is left to them.

use super::client::Kept;
use super::link::{Landed, Link, Outgoing, Speech};
use crate::flight::Wish;
use crate::http2::request::Block;
use crate::sample::Failure;
use crate::wire::lane::Lane;
use crate::wire::watch::Watch;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// What a request's bytes are known by: those of a plan stay where they are as long as it lasts.
type Place = (usize, usize);

/// The groups of one flow on one thread.
pub(crate) struct Pool {
    flow: usize,
    /// Users that share one connection.
    size: usize,
    speech: Speech,
    secure: bool,
    groups: RefCell<Vec<Weak<Group>>>,
    /// Requests of the plan that never change, prepared once.
    blocks: HashMap<Place, Block>,
}

/// Users that share one connection.
struct Group {
    pool: Rc<Pool>,
    members: Cell<usize>,
    link: RefCell<Option<Rc<Link>>>,
}

/// A user's place in a group.
pub(crate) struct Seat {
    group: Rc<Group>,
    lane: Rc<Lane>,
    /// The block of a request that was made for one exchange.
    scratch: Block,
}

fn place_of(request: &[u8]) -> Place {
    (request.as_ptr() as usize, request.len())
}

impl Pool {
    /// A pool whose users send `requests`, and others.
    pub(crate) fn new<'p>(
        flow: usize,
        (size, speech, secure): (usize, Speech, bool),
        requests: impl Iterator<Item = &'p [u8]>,
    ) -> Rc<Self> {
        let blocks = if speech != Speech::Ordered {
            requests.map(|request| (place_of(request), Block::of(request, secure))).collect()
        } else {
            HashMap::new()
        };
        Rc::new(Self { flow, size, speech, secure, groups: RefCell::default(), blocks })
    }

    /// A seat in the first group that has one free.
    pub(crate) fn seat(self: &Rc<Self>, lane: Rc<Lane>) -> Seat {
        let mut groups = self.groups.borrow_mut();
        groups.retain(|group| group.strong_count() > 0);
        let free = groups
            .iter()
            .rev()
            .filter_map(Weak::upgrade)
            .find(|group| group.members.get() < self.size);
        let group = free.unwrap_or_else(|| {
            let group = Rc::new(Group {
                pool: Rc::clone(self),
                members: Cell::new(0),
                link: RefCell::new(None),
            });
            groups.push(Rc::downgrade(&group));
            group
        });
        group.members.set(group.members.get() + 1);
        Seat { group, lane, scratch: Block::default() }
    }
}

impl Seat {
    /// Whether the group's connection takes requests.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.group.link.borrow().as_ref().is_some_and(|link| link.is_ready())
    }

    /// Nanoseconds that the TLS handshake of the group's connection took; none without TLS.
    pub(crate) fn handshake(&self) -> Option<u64> {
        self.group.link.borrow().as_ref()?.handshake()
    }

    /// Opens the group's connection, or waits for whoever does; true for who did.
    pub(crate) async fn open(&self, deadline: u64, watch: &Watch) -> Result<bool, Failure> {
        let current = self.group.link.borrow().clone().filter(|link| link.is_alive());
        let opens = current.is_none();
        let link = current.unwrap_or_else(|| {
            let pool = &self.group.pool;
            let link = Link::open(Rc::clone(&self.lane), pool.flow, pool.speech, deadline);
            *self.group.link.borrow_mut() = Some(Rc::clone(&link));
            link
        });
        link.opened(&self.lane, watch).await.map(|()| opens)
    }

    /// One exchange on the group's connection.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        wish: Wish,
        kept: &mut Kept,
        watch: &Watch,
    ) -> Result<Landed, Failure> {
        let Some(link) = self.group.link.borrow().clone() else { return Err(Failure::Closed) };
        let pool = &self.group.pool;
        let block = match pool.blocks.get(&place_of(request)) {
            Some(block) => block,
            None if pool.speech != Speech::Ordered => {
                self.scratch.fill(request, pool.secure);
                &self.scratch
            }
            None => &self.scratch,
        };
        let body = request.get(block.body..).unwrap_or_default();
        let outgoing = Outgoing { text: request, block: &block.bytes, body };
        link.exchange(outgoing, wish, kept, (&self.lane, watch)).await
    }

    /// Closes the connection, where nobody else sits on it.
    pub(crate) fn close(&self) {
        if self.group.pool.size == 1
            && let Some(link) = self.group.link.borrow_mut().take()
        {
            link.retire(&self.lane);
        }
    }
}

impl Drop for Seat {
    /// The last one closes the connection.
    fn drop(&mut self) {
        self.group.members.set(self.group.members.get() - 1);
        if self.group.members.get() == 0
            && let Some(link) = self.group.link.borrow_mut().take()
        {
            link.retire(&self.lane);
        }
    }
}
