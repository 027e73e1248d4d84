//! When each sampled object was born: jemalloc's sample hooks, behind the feature `ages`.
//! In: calls of jemalloc for each object that it samples, and for each sampled one that is freed.
//! Out: beside each stack of a dump, how many of its live samples are how old. A leak keeps
//! objects of every age; what only turns over has none that is old.
//!
//! The hooks run inside the allocator: they allocate nothing, take no lock and cannot panic. The
//! table is fixed; what finds no place is counted and has no age.
//! Source of the two controls: jemalloc's `prof_hook.h` and `test/unit/prof_hook.c`; experimental.
#![expect(unsafe_code, reason = "functions that jemalloc calls, with addresses of its own")]

use crate::census;
use crate::dump::Stack;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use tikv_jemalloc_ctl::raw;

/// Live samples that can be told apart: 32 GiB of heap at lg 19, 4 GiB at lg 16. 1.5 MiB of
/// address space, of which a process touches what it uses.
const SLOTS: usize = 65_536;

/// Slots that are looked at for one address. Simulated: up to half full, hardly a sample finds no
/// place; with as many live samples as 80 % of the slots some in a hundred do, with as many as all
/// of them one in ten.
const WINDOW: usize = 32;

/// A slot that is being filled.
const CLAIMED: usize = 1;

/// Lower bounds of the ages told, seconds: two to an octave, up to an hour and more.
const BOUNDS_S: [u32; 25] = [
    0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024, 1_536,
    2_048, 3_072, 4_096,
];

/// One live sample.
struct Slot {
    /// Its address; 0 when the slot is free.
    address: AtomicUsize,
    /// Hash of the stack that allocated it.
    stack: AtomicU64,
    /// Second of the probe's life.
    birth_s: AtomicU32,
    /// Times that jemalloc has sampled it where it lies: one that grows in place is sampled anew
    /// before the old sample is given back.
    times: AtomicU32,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        address: AtomicUsize::new(0),
        stack: AtomicU64::new(0),
        birth_s: AtomicU32::new(0),
        times: AtomicU32::new(0),
    }
}; SLOTS];

/// Samples that found no place.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Whether jemalloc has no such controls.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// `prof_sample_hook_t`: address, size asked for, stack, its length, size given.
type SampleHook = unsafe extern "C" fn(*const c_void, usize, *mut *mut c_void, u32, usize);
/// `prof_sample_free_hook_t`: address, size given.
type FreeHook = unsafe extern "C" fn(*const c_void, usize);

/// Lets jemalloc tell births and deaths from now on. Where this build of it cannot, snapshots say
/// so and go without ages.
pub(crate) fn install() {
    // What a probe before this one left there has died unseen, or will.
    forget();
    let refused = set(Some(sampled as SampleHook), Some(freed as FreeHook)).is_err();
    REFUSED.store(refused, Relaxed);
}

/// Forgets all, and lets jemalloc tell nothing any more.
pub(crate) fn remove() {
    // A refusal leaves the hooks in place, which harms nobody.
    let _ = set(None, None);
    forget();
}

fn forget() {
    for slot in &TABLE {
        // A look before the store: places never used cost address space and no memory.
        if slot.address.load(Relaxed) != 0 {
            slot.address.store(0, Relaxed);
        }
    }
}

fn set(sample: Option<SampleHook>, free: Option<FreeHook>) -> tikv_jemalloc_ctl::Result<()> {
    // The frees first: an object whose end goes unseen would grow old in the table.
    // SAFETY: both controls take a function of this type, or null, which `None` is.
    unsafe {
        raw::write(b"experimental.hooks.prof_sample_free\0", free)?;
        raw::write(b"experimental.hooks.prof_sample\0", sample)
    }
}

/// Called by jemalloc for each object that it samples, before the program gets it.
unsafe extern "C" fn sampled(
    object: *const c_void,
    _size: usize,
    stack: *mut *mut c_void,
    length: u32,
    _given: usize,
) {
    let frames = if stack.is_null() {
        &[][..]
    } else {
        // SAFETY: jemalloc hands in its own record of the stack, with its length; a pointer is
        // an address, and as large as `usize`.
        unsafe { std::slice::from_raw_parts(stack.cast::<usize>(), length as usize) }
    };
    let hash = hash(frames.iter().map(|frame| *frame as u64));
    born(object as usize, hash, census::now_s());
}

/// Called by jemalloc for each sampled object that is freed, before anybody else gets its place;
/// of one that moves as it grows, after its old place was given back.
unsafe extern "C" fn freed(object: *const c_void, _given: usize) {
    died(object as usize);
}

/// Slots that an address may be in.
fn window(address: usize) -> impl Iterator<Item = &'static Slot> {
    // Sampled objects begin a page of their own, so the lowest bits say nothing.
    let mixed = (address as u64 >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let start = mixed as usize % SLOTS;
    TABLE[start..].iter().chain(&TABLE).take(WINDOW)
}

fn born(address: usize, stack: u64, now_s: u32) {
    // Known already: it has grown in place; or it is another's, who has moved and is not told of
    // yet. Then its age is too high for as long as it lives, which takes no leak back.
    if let Some(slot) = window(address).find(|slot| slot.address.load(Acquire) == address) {
        // At 0 its object has just died, and the slot is about to be free.
        let again = |times: u32| (times > 0).then_some(times.saturating_add(1));
        if slot.times.fetch_update(AcqRel, Relaxed, again).is_ok() {
            slot.stack.store(stack, Relaxed);
            return;
        }
    }
    let free = window(address)
        .find(|slot| slot.address.compare_exchange(0, CLAIMED, AcqRel, Relaxed).is_ok());
    let Some(slot) = free else {
        LOST.fetch_add(1, Relaxed);
        return;
    };
    slot.stack.store(stack, Relaxed);
    slot.birth_s.store(now_s, Relaxed);
    slot.times.store(1, Release);
    slot.address.store(address, Release);
}

fn died(address: usize) {
    let Some(slot) = window(address).find(|slot| slot.address.load(Acquire) == address) else {
        return;
    };
    if slot.times.fetch_update(AcqRel, Relaxed, |times| times.checked_sub(1)) == Ok(1) {
        slot.address.store(0, Release);
    }
}

/// A stack by its return addresses; the multiplication is that of FNV-1a, word by word.
fn hash(addresses: impl Iterator<Item = u64>) -> u64 {
    addresses.fold(0xcbf2_9ce4_8422_2325, |hash, address| {
        (hash ^ address).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    })
}

/// Puts beside each stack how old its live samples are, in classes of at least so many seconds.
/// Returns a comment for the snapshot: how many samples of the process's life found no place and
/// have no age, or why none has.
pub(crate) fn mark(stacks: &mut [Stack]) -> String {
    if REFUSED.load(Relaxed) {
        return "ages_off=this build of jemalloc has no hooks for samples".to_owned();
    }
    let mut ages: HashMap<u64, [u64; BOUNDS_S.len()]> = HashMap::new();
    let now_s = census::now_s();
    for slot in &TABLE {
        if slot.address.load(Acquire) <= CLAIMED {
            continue;
        }
        let age_s = now_s.saturating_sub(slot.birth_s.load(Relaxed));
        let class = BOUNDS_S.partition_point(|bound| *bound <= age_s).saturating_sub(1);
        ages.entry(slot.stack.load(Relaxed)).or_default()[class] += 1;
    }
    for stack in stacks {
        let Some(counts) = ages.get(&hash(stack.addresses.iter().copied())) else { continue };
        let told = BOUNDS_S.iter().zip(counts).filter(|(_, count)| **count > 0);
        stack.ages = told.map(|(bound, count)| (*bound, *count)).collect();
    }
    format!("ages_lost={}", LOST.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::Columns;
    use std::sync::{Mutex, PoisonError};

    /// There is one table, and one test at a time may look at what it counts.
    static TURN: Mutex<()> = Mutex::new(());

    /// Addresses that no allocator hands out.
    fn address(number: usize) -> usize {
        0x7000_0000_0000_0000 + (number << 12)
    }

    fn counts(frame: u64) -> Vec<(u32, u64)> {
        let columns = Columns::default();
        let mut stacks = [Stack { addresses: vec![frame], columns, ages: Vec::new() }];
        mark(&mut stacks);
        let [stack] = stacks;
        stack.ages
    }

    fn stack(frame: u64) -> u64 {
        hash([frame].into_iter())
    }

    #[test]
    fn an_object_has_one_age_until_it_dies() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let now_s = census::now_s();
        born(address(1), stack(11), now_s);
        born(address(2), stack(11), now_s);
        assert_eq!(counts(11), [(0, 2)]);
        // Grown in place: sampled anew at another stack, then the old sample given back.
        born(address(2), stack(12), now_s);
        died(address(2));
        assert_eq!(counts(12), [(0, 1)]);
        died(address(1));
        died(address(2));
        // One of which nobody knows.
        died(address(3));
        assert_eq!((counts(11), counts(12)), (vec![], vec![]));
    }

    #[test]
    fn what_finds_no_place_is_counted_and_lost() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = LOST.load(Relaxed);
        // All of one window: the same bits decide where it begins.
        let start = |at: usize| window(at).next().map(std::ptr::from_ref);
        let first = start(address(5_000));
        let numbers = (5_000..).map(address);
        let same: Vec<usize> = numbers.filter(|at| start(*at) == first).take(WINDOW + 3).collect();
        same.iter().for_each(|at| born(*at, stack(13), census::now_s()));
        assert_eq!(LOST.load(Relaxed) - before, 3);
        assert_eq!(counts(13), [(0, WINDOW as u64)]);
        same.iter().for_each(|at| died(*at));
        assert_eq!(counts(13), []);
        // The window is free again.
        born(same[0], stack(13), census::now_s());
        assert_eq!(LOST.load(Relaxed) - before, 3);
        died(same[0]);
    }

    #[test]
    fn stacks_of_one_set_of_frames_are_told_apart() {
        let of = |frames: &[u64]| hash(frames.iter().copied());
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[]), of(&[0]));
        assert_ne!(of(&[0x5555_1000, 0x5555_2000]), of(&[0x5555_2000, 0x5555_1000]));
    }
}
