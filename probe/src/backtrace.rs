//! Stacks of samples, told without the unwinder of libgcc once a frame is known (x86-64 Linux).
//! In: jemalloc's call for the stack of each sample. Out: return addresses, as libgcc tells them.
//! Code without frame pointers keeps a frame of one size at each return address. libgcc tells it
//! once, from cold tables; later walks add sizes up. A walk counts only if it ends where libgcc
//! ended on this thread; anything else goes to libgcc, as does one walk in 64, to compare: one
//! difference, and libgcc does it all from there on.
//! Runs inside the allocator: allocates nothing, takes no lock, cannot panic.
//! Source of the control: jemalloc's `prof_hook.h` and `prof_sys.c`; experimental.
#![expect(unsafe_code, reason = "a function that jemalloc calls, and words of a thread's stack")]

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use tikv_jemalloc_ctl::raw;

/// Return addresses whose frames can be known: a large server samples some hundred stacks of some
/// thousand places. 128 KiB of address space; what finds no slot is unknown.
const SLOTS: usize = 8_192;

/// Slots that are looked at for one address.
const WINDOW: usize = 8;

/// A frame at which two sizes were seen (aligned anew, or of variable length), or one above
/// [`MAX_FRAME_BYTES`].
const VARIABLE: usize = usize::MAX;

/// The largest frame that is believed. Above a larger one, or one that is not plain, may lie
/// another stack, with memory between that nobody may read.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// Walks of which one is made by libgcc as well, and compared.
const COMPARED: u64 = 64;

/// `_URC_NO_REASON`: go on.
const GO_ON: c_int = 0;
/// `_URC_END_OF_STACK`: enough.
const ENOUGH: c_int = 5;

/// `prof_backtrace_hook_t`: room for return addresses, how many came, how many fit.
type Hook = unsafe extern "C" fn(*mut *mut c_void, *mut c_uint, c_uint);
/// `_Unwind_Trace_Fn`.
type Trace = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;

// The unwinder that the standard library is linked with, and jemalloc uses itself.
unsafe extern "C" {
    fn _Unwind_Backtrace(trace: Trace, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// The frame that stands at a return address.
struct Slot {
    /// The return address; 0 when the slot is free.
    ip: AtomicUsize,
    /// Bytes from its stack pointer to its caller's; 0 when not told yet, or [`VARIABLE`].
    bytes: AtomicUsize,
}

static TABLE: [Slot; SLOTS] =
    [const { Slot { ip: AtomicUsize::new(0), bytes: AtomicUsize::new(0) } }; SLOTS];

/// Walks that ended where they should.
static WALKS: AtomicU64 = AtomicU64::new(0);
/// Set for good by the first walk that libgcc tells otherwise.
static DISTRUSTED: AtomicBool = AtomicBool::new(false);

/// Where the stack of a thread ends.
#[derive(Clone, Copy)]
struct End {
    /// The outermost return address, and the stack pointer there.
    outermost: (usize, usize),
    /// The lowest stack pointer from which libgcc came there: what lies between is one stack.
    lowest: usize,
}

thread_local! {
    // Neither made nor dropped by code, so it may be touched at any moment of a thread's life.
    static END: Cell<End> = const { Cell::new(End { outermost: (0, 0), lowest: 0 }) };
}

/// Lets jemalloc ask here for stacks. Where this build of it has no such control, it goes on
/// asking libgcc itself.
pub(crate) fn install() {
    // SAFETY: the control takes a function of this type.
    let set = unsafe { raw::write(b"experimental.hooks.prof_backtrace\0", hook as Hook) };
    if set.is_err() {
        DISTRUSTED.store(true, Relaxed);
    }
}

/// Whether libgcc tells all stacks: no hook could be set, or a walk was found wrong.
pub(crate) fn distrusted() -> bool {
    DISTRUSTED.load(Relaxed)
}

/// Called by jemalloc for the stack of a sample. Naked, so that the stack pointer at its entry is
/// known: the return address stands there, and the caller's frame begins above it.
#[unsafe(naked)]
unsafe extern "C" fn hook(addresses: *mut *mut c_void, length: *mut c_uint, max: c_uint) {
    core::arch::naked_asm!("mov rcx, rsp", "jmp {answer}", answer = sym answer)
}

/// [`hook`], with the stack pointer at its entry.
unsafe extern "C" fn answer(
    addresses: *mut *mut c_void,
    length: *mut c_uint,
    max: c_uint,
    entry_sp: *const usize,
) {
    // SAFETY: jemalloc hands in room for `max` addresses, and a word for their number.
    let room = unsafe { std::slice::from_raw_parts_mut(addresses.cast::<usize>(), max as usize) };
    // SAFETY: the hook was called, so its return address stands at its stack pointer.
    let first = (unsafe { entry_sp.read() }, entry_sp as usize + size_of::<usize>());
    let known = if DISTRUSTED.load(Relaxed) { None } else { walk(room, first) };
    let count = match known {
        Some(count) if !WALKS.fetch_add(1, Relaxed).is_multiple_of(COMPARED) => count,
        Some(count) => {
            let walked = print_of(&room[..count]);
            let count = learn(room, first.1);
            if print_of(&room[..count]) != walked {
                DISTRUSTED.store(true, Relaxed);
            }
            count
        }
        None => learn(room, first.1),
    };
    // SAFETY: as above. No more than `max` were written.
    unsafe { length.write(count as c_uint) };
}

/// Walks from the frame `(return address, stack pointer)` outwards by known sizes. `None` where
/// one is not known, or the end is not the one known of this thread.
fn walk(room: &mut [usize], first: (usize, usize)) -> Option<usize> {
    let end = END.get();
    let (mut ip, mut sp) = first;
    // Elsewhere than libgcc has been: below is another stack, a fiber's, or a signal's.
    if sp < end.lowest || sp > end.outermost.1 {
        return None;
    }
    for (index, place) in room.iter_mut().enumerate() {
        *place = ip;
        if (ip, sp) == end.outermost {
            return Some(index + 1);
        }
        sp += known(ip)?;
        if sp > end.outermost.1 {
            return None;
        }
        // SAFETY: a word of this thread's own stack: between its lowest known stack pointer and
        // its end, and a multiple of eight bytes from the first, as all sizes are.
        ip = unsafe { (sp as *const usize).sub(1).read() };
    }
    None
}

/// What libgcc tells, from the frame with that stack pointer on.
struct Told<'a> {
    room: &'a mut [usize],
    from_sp: usize,
    count: usize,
    /// The stack pointer from which on all is one stack for sure.
    whole_from: usize,
    /// The frame before.
    last: Option<(usize, usize)>,
    /// No room was left for the rest.
    cut: bool,
}

/// Asks libgcc, and keeps the sizes of frames and the end of the stack.
fn learn(room: &mut [usize], from_sp: usize) -> usize {
    let mut told = Told { room, from_sp, count: 0, whole_from: from_sp, last: None, cut: false };
    // SAFETY: `take` gets what it expects, and `told` outlives the call.
    unsafe { _Unwind_Backtrace(take, (&raw mut told).cast()) };
    if let (Some(outermost), false) = (told.last, told.cut) {
        let before = END.get();
        let from = told.whole_from;
        let lowest = if before.outermost == outermost { before.lowest } else { from };
        END.set(End { outermost, lowest: lowest.min(from) });
    }
    told.count
}

/// Takes one frame from libgcc.
unsafe extern "C" fn take(context: *mut c_void, told: *mut c_void) -> c_int {
    // SAFETY: `learn` handed it in, and uses it only after the call.
    let told = unsafe { &mut *told.cast::<Told<'_>>() };
    // SAFETY: the context is libgcc's own, valid during this call.
    let (ip, sp) = unsafe { (_Unwind_GetIP(context), _Unwind_GetCFA(context)) };
    if ip == 0 || (told.last.is_none() && sp != told.from_sp) {
        return GO_ON;
    }
    if told.count == told.room.len() {
        told.cut = true;
        return ENOUGH;
    }
    if let Some((last_ip, last_sp)) = told.last {
        let bytes = sp.wrapping_sub(last_sp);
        let usual = bytes.is_multiple_of(8) && (8..=MAX_FRAME_BYTES).contains(&bytes);
        // SAFETY: the word below the caller's stack pointer lies within the frame before.
        let plain = usual && unsafe { (sp as *const usize).sub(1).read() } == ip;
        note(last_ip, if plain { bytes } else { VARIABLE });
        if !plain {
            told.whole_from = sp;
        }
    }
    told.room[told.count] = ip;
    told.count += 1;
    told.last = Some((ip, sp));
    GO_ON
}

/// Slots that a return address may be in.
fn window(ip: usize) -> impl Iterator<Item = &'static Slot> {
    let start = ((ip as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % SLOTS;
    TABLE[start..].iter().chain(&TABLE).take(WINDOW)
}

/// Bytes of the frame at a return address, if it always has so many.
fn known(ip: usize) -> Option<usize> {
    let slot = window(ip).find(|slot| slot.ip.load(Acquire) == ip)?;
    Some(slot.bytes.load(Relaxed)).filter(|&bytes| bytes != 0 && bytes != VARIABLE)
}

/// Keeps the size of the frame at a return address.
fn note(ip: usize, bytes: usize) {
    for slot in window(ip) {
        let free = slot.ip.compare_exchange(0, ip, Release, Acquire);
        if free.is_ok() || free == Err(ip) {
            let first = slot.bytes.compare_exchange(0, bytes, Relaxed, Relaxed);
            if first.is_err_and(|before| before != bytes) {
                slot.bytes.store(VARIABLE, Relaxed);
            }
            return;
        }
    }
}

/// A stack as one number, by FNV-1a word by word.
fn print_of(stack: &[usize]) -> u64 {
    stack.iter().fold(0xcbf2_9ce4_8422_2325, |print, &ip| {
        (print ^ ip as u64).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    const ROOM: usize = 128;

    /// The stack here as the hook tells it, without its first address, and the number of walks
    /// that were made without libgcc by then.
    #[inline(never)]
    fn asked(room: usize) -> (Vec<usize>, u64) {
        let mut addresses = [std::ptr::null_mut(); ROOM];
        let mut length = 0;
        // SAFETY: room and its length.
        unsafe { hook(addresses.as_mut_ptr(), &raw mut length, room as c_uint) };
        let stack = addresses[..length as usize].iter().map(|address| *address as usize);
        (stack.skip(1).collect(), WALKS.load(Relaxed))
    }

    /// Frames of unlike sizes, `depth` of them.
    #[inline(never)]
    fn deep(depth: usize, ask: &dyn Fn() -> (Vec<usize>, u64)) -> (Vec<usize>, u64) {
        let told = match depth {
            0 => ask(),
            even if even.is_multiple_of(2) => wide(depth, ask),
            _ => deep(depth - 1, ask),
        };
        black_box(told)
    }

    #[inline(never)]
    fn wide(depth: usize, ask: &dyn Fn() -> (Vec<usize>, u64)) -> (Vec<usize>, u64) {
        let mut filling = [depth; 300];
        let told = deep(depth - 1, ask);
        black_box(&mut filling);
        told
    }

    #[test]
    fn a_walk_tells_what_libgcc_tells() {
        for _thread in 0..3 {
            let told = std::thread::spawn(|| {
                let mut told = Vec::new();
                for _time in 0..200 {
                    told.push([3, 40, 12, 7].map(|depth| deep(depth, &|| asked(ROOM))));
                }
                told
            });
            let told = told.join().unwrap();
            for times in &told {
                for (index, (stack, _)) in times.iter().enumerate() {
                    assert_eq!(*stack, told[0][index].0);
                    assert!(stack.len() > 3);
                }
            }
            let walks = told[199][3].1 - told[1][3].1;
            assert!(walks > 700, "{walks} of 792 went without libgcc");
        }
        assert!(!distrusted());
    }

    #[test]
    fn a_stack_that_does_not_fit_is_cut_at_its_outer_end() {
        // In one loop, so that all are asked for from one place.
        let told = [ROOM, 5, ROOM, 5, 1].map(|room| deep(9, &|| asked(room)).0);
        assert_eq!([told[1].len(), told[3].len(), told[4].len()], [4, 4, 0]);
        assert_eq!(told[1][..], told[0][..4]);
        assert_eq!((&told[2], &told[3]), (&told[0], &told[1]));
    }

    #[test]
    fn a_walk_from_elsewhere_or_to_another_end_is_none() {
        let told = std::thread::spawn(|| {
            let (stack, _) = deep(6, &|| asked(ROOM));
            let end = END.get();
            let mut room = [0; ROOM];
            let below = (stack[0], end.lowest - 8);
            let above = (stack[0], end.outermost.1 + 8);
            [below, above].map(|first| walk(&mut room, first))
        });
        assert_eq!(told.join().unwrap(), [None, None]);
    }

    #[test]
    fn a_frame_with_two_sizes_is_left_to_libgcc() {
        let ip = 0x1_0000_0000_0001;
        assert_eq!(known(ip), None);
        note(ip, 64);
        note(ip, 64);
        assert_eq!(known(ip), Some(64));
        note(ip, 80);
        assert_eq!(known(ip), None);
        note(ip, 64);
        assert_eq!(known(ip), None);
    }
}
