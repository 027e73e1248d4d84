//! A leak and a cache that turns over, side by side: each operation keeps an object for good, and
//! puts another into a cache that throws its oldest out.
//! In: lines with a number of operations. Out: one line `done` for each of them; ends with its
//! input. What lives is the same in number again and again, the ages are not.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::BufRead;

#[global_allocator]
static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;

/// Bytes of an object that is kept, and of one in the cache: jemalloc gives 5,120 and 7,168.
const KEPT_BYTES: usize = 5_000;
const CACHED_BYTES: usize = 7_000;

/// Entries of the cache.
const CAPACITY: usize = 64;

/// The least recently used goes first.
#[derive(Default)]
struct Cache {
    entries: BTreeMap<u64, Vec<u8>>,
    used: VecDeque<u64>,
}

impl Cache {
    fn put(&mut self, key: u64) {
        if self.used.len() == CAPACITY
            && let Some(oldest) = self.used.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(key, vec![1; CACHED_BYTES]);
        self.used.push_back(key);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let _probe = ebbtide_probe::start()?;
    let (mut kept, mut cache) = (Vec::new(), Cache::default());
    for line in std::io::stdin().lock().lines() {
        for _ in 0..line?.trim().parse::<u64>()? {
            kept.push(vec![1_u8; KEPT_BYTES]);
            cache.put(kept.len() as u64);
        }
        println!("done");
    }
    Ok(())
}
