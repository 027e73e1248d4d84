//! The census: how many tracked objects live, by kind and by the line of code that made them.
//! In: [`track`], called where an object is made, and the drop of the [`Guard`] it gives.
//! Out: [`Census`], the JSON form `ebbtide/census/1`.
//! One atomic addition to a counter of the thread's own shard per creation and per drop; the
//! table is fixed, so a program with more sites than places loses names, never memory.
//! Leaves to others: the clock (the probe's thread calls [`tick`]) and the wrappers (`wrap`).

use crate::Kind;
use crate::ages::{Ages, BOUNDS_S, SHARDS, Tally};
use crate::clock::unix_ms;
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Name and version of the JSON form.
const SCHEMA: &str = "ebbtide/census/1";

/// Places in the table: a large server has a few hundred sites.
const PLACES: usize = 4_096;

/// Places looked at before an object is counted under its kind alone.
const PROBES: usize = 64;

/// Marks a guard that counts nothing.
const NOWHERE: u16 = u16::MAX;

/// One line of code and one kind: `key` is 0 while the place is free.
struct Place {
    key: AtomicU64,
    site: OnceLock<(Kind, &'static Location<'static>)>,
    ages: Ages,
}

impl Place {
    const fn new() -> Self {
        Self { key: AtomicU64::new(0), site: OnceLock::new(), ages: Ages::new() }
    }
}

/// The table, and after it one place per kind for objects that found none.
static TABLE: [Place; PLACES + Kind::ALL.len()] =
    [const { Place::new() }; PLACES + Kind::ALL.len()];

/// Whole seconds since the probe started; 0 until then.
static NOW_S: AtomicU32 = AtomicU32::new(0);

/// Held while cells move or are read.
static FOLDING: Mutex<()> = Mutex::new(());

thread_local!(static SHARD: Cell<usize> = const { Cell::new(usize::MAX) });

static ENABLED: AtomicBool = AtomicBool::new(true);

static IN_FLIGHT: [Flight; SHARDS] = [const { Flight::new() }; SHARDS];

/// Requests begun and ended, as one shard counts them.
#[repr(align(64))]
struct Flight {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Flight {
    const fn new() -> Self {
        Self { begun: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }
}

/// Counts one object of `kind`, made at the caller's line, until the guard is dropped. Keep the
/// guard in the object: a struct that holds it is counted exactly as long as it lives.
#[must_use = "the object counts as dropped when the guard is"]
#[track_caller]
#[inline]
pub fn track(kind: Kind) -> Guard {
    track_at(kind, Location::caller())
}

/// [`track`] for a place found earlier, as wrappers need it.
#[inline]
pub(crate) fn track_at(kind: Kind, location: &'static Location<'static>) -> Guard {
    if !ENABLED.load(Relaxed) {
        return Guard { place: NOWHERE, birth_s: 0 };
    }
    let place = place_of(kind, location);
    let birth_s = NOW_S.load(Relaxed);
    TABLE[place].ages.create(shard(), birth_s);
    let place = u16::try_from(place).expect("the table has fewer than 65,535 places");
    Guard { place, birth_s }
}

/// Counts a request as in flight until the guard is dropped.
#[must_use = "the request counts as ended when the guard is dropped"]
#[inline]
pub fn in_flight() -> InFlight {
    IN_FLIGHT[shard()].begun.fetch_add(1, Relaxed);
    InFlight(())
}

/// One object of the census; its drop is the object's end.
#[derive(Debug)]
pub struct Guard {
    place: u16,
    birth_s: u32,
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = TABLE.get(usize::from(self.place)) {
            place.ages.drop(shard(), self.birth_s, NOW_S.load(Relaxed));
        }
    }
}

/// One request in flight; its drop is the request's end.
#[derive(Debug)]
pub struct InFlight(());

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        IN_FLIGHT[shard()].ended.fetch_add(1, Relaxed);
    }
}

/// Requests that have begun and not ended.
#[must_use]
pub fn requests_in_flight() -> u64 {
    let ended: u64 = IN_FLIGHT.iter().map(|shard| shard.ended.load(Acquire)).sum();
    let begun: u64 = IN_FLIGHT.iter().map(|shard| shard.begun.load(Acquire)).sum();
    begun.saturating_sub(ended)
}

/// Live objects of this process at one moment: the body of `/debug/census`.
#[derive(Clone, Debug, Serialize)]
pub struct Census {
    /// `ebbtide/census/1`.
    pub schema: &'static str,
    /// When it was counted, Unix milliseconds.
    pub at_unix_ms: u64,
    /// Totals by kind; every kind stands here.
    pub kinds: BTreeMap<&'static str, Count>,
    /// The same by line of creation, most live objects first.
    pub sites: Vec<Site>,
    /// Requests that have begun and not ended.
    pub in_flight: u64,
    /// Objects ever created that found no free place and are in `kinds` alone.
    pub overflow: u64,
}

/// Counts of one kind or of one site.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Count {
    /// Created and not yet dropped.
    pub live: u64,
    /// Ever created.
    pub created: u64,
    /// Ever dropped.
    pub dropped: u64,
}

/// Objects of one kind made at one line.
#[derive(Clone, Debug, Serialize)]
pub struct Site {
    /// [`Kind::key`].
    pub kind: &'static str,
    /// Empty: a line of code does not know its function.
    pub function: &'static str,
    /// Source file, as the compiler was given it.
    pub file: &'static str,
    /// Line, from 1.
    pub line: u32,
    /// The counts.
    #[serde(flatten)]
    pub count: Count,
    /// Ages of the live ones; absent until the probe has started, since nothing tells the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<AgeHistogram>,
}

/// Live objects by age; `count` is one longer than `le`.
#[derive(Clone, Debug, Serialize)]
pub struct AgeHistogram {
    /// Upper bounds, seconds, ascending.
    pub le: [u64; BOUNDS_S.len()],
    /// Objects at most that old, and older than the bound before.
    pub count: [u64; BOUNDS_S.len() + 1],
}

impl Census {
    /// Counts what lives now. Takes some microseconds per site; concurrent creations and drops
    /// may or may not be in it.
    #[must_use]
    pub fn count() -> Self {
        let folding = FOLDING.lock().unwrap_or_else(PoisonError::into_inner);
        let now_s = NOW_S.load(Relaxed);
        let mut kinds: BTreeMap<&'static str, Count> =
            Kind::ALL.iter().map(|kind| (kind.key(), Count::default())).collect();
        // The same line can have several addresses, one per codegen unit: merged by its text.
        let mut sites: BTreeMap<(&'static str, &'static str, u32, u32), Tally> = BTreeMap::new();
        for place in &TABLE[..PLACES] {
            let Some((kind, location)) = place.site.get() else { continue };
            let tally = place.ages.tally(now_s);
            kinds.entry(kind.key()).or_default().add(&tally);
            let key = (kind.key(), location.file(), location.line(), location.column());
            sites.entry(key).or_default().add(&tally);
        }
        let mut overflow = 0;
        for (kind, place) in Kind::ALL.iter().zip(&TABLE[PLACES..]) {
            let tally = place.ages.tally(now_s);
            overflow += tally.created;
            kinds.entry(kind.key()).or_default().add(&tally);
        }
        drop(folding);
        let mut sites: Vec<Site> =
            sites.into_iter().map(|(key, tally)| site(key, &tally)).collect();
        sites.sort_by_key(|site| std::cmp::Reverse(site.count.live));
        Self {
            schema: SCHEMA,
            at_unix_ms: unix_ms(),
            kinds,
            sites,
            in_flight: requests_in_flight(),
            overflow,
        }
    }
}

impl Count {
    fn add(&mut self, tally: &Tally) {
        self.created += tally.created;
        self.dropped += tally.dropped;
        self.live = self.created.saturating_sub(self.dropped);
    }
}

fn site(key: (&'static str, &'static str, u32, u32), tally: &Tally) -> Site {
    let (kind, file, line, _) = key;
    let mut count = Count::default();
    count.add(tally);
    let told = NOW_S.load(Relaxed) > 0;
    let ages = tally.live_by_age.map(|live| u64::try_from(live).unwrap_or(0));
    let age_s = told.then_some(AgeHistogram { le: BOUNDS_S, count: ages });
    Site { kind, function: "", file, line, count, age_s }
}

/// Switches counting on or off; what is counted already keeps being counted down.
pub(crate) fn enable(on: bool) {
    ENABLED.store(on, Relaxed);
}

/// Whether objects are counted.
pub(crate) fn enabled() -> bool {
    ENABLED.load(Relaxed)
}

/// The census's clock: seconds of the probe's life.
pub(crate) fn now_s() -> u32 {
    NOW_S.load(Relaxed)
}

/// Moves the census's clock on to `second` (of the probe's life), cell by cell.
pub(crate) fn tick(second: u32) {
    let _folding = FOLDING.lock().unwrap_or_else(PoisonError::into_inner);
    let now_s = NOW_S.load(Relaxed);
    for next in now_s + 1..=second {
        let (sites, kinds) = TABLE.split_at(PLACES);
        // Places never used stay untouched, so that they cost address space and no memory.
        for place in sites.iter().filter(|place| place.site.get().is_some()).chain(kinds) {
            place.ages.fold(next);
        }
        NOW_S.store(next, Relaxed);
    }
}

/// The index of the caller's place.
#[inline]
fn place_of(kind: Kind, location: &'static Location<'static>) -> usize {
    let address = std::ptr::from_ref(location).addr() as u64;
    // User addresses end below 2^47 (2^56 with five levels): the kind fits above.
    let key = address | (kind as u64 + 1) << 56;
    // Multiplicative hashing: the upper bits of the product depend on all bits of the key.
    let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % PLACES;
    if TABLE[start].key.load(Relaxed) == key { start } else { search(key, start, kind, location) }
}

/// Finds the place of `key` from `start` on, or takes the first that is free.
#[inline(never)]
fn search(key: u64, start: usize, kind: Kind, location: &'static Location<'static>) -> usize {
    for index in (start..start + PROBES).map(|index| index % PLACES) {
        let place = &TABLE[index];
        // A look before the exchange: a place that a neighbour displaced is read, not locked.
        let seen = match place.key.load(Relaxed) {
            0 => place.key.compare_exchange(0, key, AcqRel, Acquire),
            owner => Err(owner),
        };
        match seen {
            Ok(_) => {
                let _ = place.site.set((kind, location));
                return index;
            }
            Err(owner) if owner == key => return index,
            Err(_) => {}
        }
    }
    PLACES + kind as usize
}

/// The calling thread's shard, given out in turn.
#[inline]
fn shard() -> usize {
    SHARD.with(|shard| if shard.get() < SHARDS { shard.get() } else { fresh_shard(shard) })
}

#[cold]
fn fresh_shard(shard: &Cell<usize>) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    shard.set(NEXT.fetch_add(1, Relaxed) % SHARDS);
    shard.get()
}
