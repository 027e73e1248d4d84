//! The faults that strike any request: memory kept or wasted, CPU burnt, delays, errors.
//! In: the switches. Out: a pause, or the word that this request is to fail.
//! Leaves to others: the five leaks, each of which stands where its mistake is made.

use crate::fault::{Fault, Faults, Setting};
use ebbtide_probe::{Guard, Kind, track};
use rustix::time::{ClockId, clock_gettime};
use std::collections::LinkedList;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests between two looks at the CPU time of the process.
const LOOK_EVERY: u64 = 256;

/// The faults that strike any request.
#[derive(Debug)]
pub(crate) struct Disturbance {
    faults: Arc<Faults>,
    started: Instant,
    kept: Mutex<LinkedList<Waste>>,
    cpu: Cpu,
}

#[derive(Debug)]
struct Waste {
    _bytes: Vec<u8>,
    _counted: Guard,
}

impl Disturbance {
    pub(crate) fn new(faults: Arc<Faults>) -> Self {
        Self { faults, started: Instant::now(), kept: Mutex::default(), cpu: Cpu::default() }
    }

    /// Disturbs one request, as far as the switches say. True when it is to fail.
    pub(crate) async fn strike(&self) -> bool {
        let faults = &*self.faults;
        if faults.is_on(Fault::Stall) {
            self.stall().await;
        }
        if faults.is_on(Fault::Tail)
            && faults.strikes(Fault::Tail)
            && let Setting::ShareFor(_, time) = faults.setting(Fault::Tail)
        {
            tokio::time::sleep(time).await;
        }
        if let Some(bytes) = self.bytes(Fault::Leak) {
            self.leak(bytes);
        }
        if let Some(bytes) = self.bytes(Fault::Alloc) {
            waste(bytes);
        }
        if let Setting::Share(millionths) = self.setting_if_on(Fault::Cpu) {
            self.cpu.burn(millionths);
        }
        faults.strikes(Fault::Error)
    }

    /// FAULT(stall): waits out the part of the period in which everything stands still, which is
    /// its end, so that a server begins well.
    pub(crate) async fn stall(&self) {
        let Setting::Every(time, every) = self.setting_if_on(Fault::Stall) else { return };
        let into = self.started.elapsed().as_nanos() % every.as_nanos();
        let left = every.as_nanos() - into;
        if left <= time.as_nanos() {
            tokio::time::sleep(Duration::from_nanos(u64::try_from(left).unwrap_or(0))).await;
        }
    }

    fn setting_if_on(&self, fault: Fault) -> Setting {
        if self.faults.is_on(fault) { self.faults.setting(fault) } else { Setting::Off }
    }

    fn bytes(&self, fault: Fault) -> Option<usize> {
        let Setting::Bytes(bytes) = self.setting_if_on(fault) else { return None };
        usize::try_from(bytes).ok()
    }

    /// FAULT(leak): keeps that many bytes for ever.
    #[inline(never)]
    fn leak(&self, bytes: usize) {
        let waste = Waste { _bytes: vec![1; bytes], _counted: track(Kind::Other) };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push_back(waste);
    }
}

/// FAULT(alloc): allocates that many bytes and frees them.
#[inline(never)]
fn waste(bytes: usize) {
    black_box(vec![1_u8; bytes]);
}

/// FAULT(cpu): burns a share of what a request costs. What that is, is measured: the CPU time of
/// the process without what was burnt, divided by the requests, since the fault was first on.
#[derive(Debug, Default)]
struct Cpu {
    requests: AtomicU64,
    burnt_nanos: AtomicU64,
    from_nanos: AtomicU64,
    per_request_nanos: AtomicU64,
}

impl Cpu {
    fn burn(&self, millionths: u64) {
        let requests = self.requests.fetch_add(1, Relaxed);
        if requests == 0 {
            self.from_nanos.store(process_nanos(), Relaxed);
        } else if requests.is_multiple_of(LOOK_EVERY) {
            let burnt = self.burnt_nanos.load(Relaxed) + self.from_nanos.load(Relaxed);
            let own = process_nanos().saturating_sub(burnt);
            self.per_request_nanos.store(own / requests, Relaxed);
        }
        let nanos = self.per_request_nanos.load(Relaxed) * millionths / 1_000_000;
        let started = Instant::now();
        while started.elapsed().as_nanos() < u128::from(nanos) {
            std::hint::spin_loop();
        }
        self.burnt_nanos.fetch_add(nanos, Relaxed);
    }
}

fn process_nanos() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
