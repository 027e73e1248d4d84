//! The things a server keeps: a list that somebody forgot to shorten, and five that are in order.
//! In: keys and sizes. Out: how many things there are now. Each is written as one would write it
//! who has never heard of heap profiles; when it is called is left to `shop`.

use crate::random::Random;
use ebbtide_probe::{Guard, Kind, track};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Orders that a list in order keeps.
const RING: usize = 256;

/// Jobs that wait at most; who comes later waits for a place.
const QUEUE: usize = 1 << 17;

/// How often jobs are worked off.
const WORK_EVERY: Duration = Duration::from_millis(10);

/// Orders or carts, the newest last.
#[derive(Default)]
pub(crate) struct Orders {
    list: VecDeque<Box<[u8]>>,
}

impl Orders {
    /// Keeps one more, and forgets the oldest, unless that is forgotten.
    pub(crate) fn take(&mut self, key: &str, bytes: usize, leaky: bool) -> usize {
        let mut text = vec![b' '; bytes];
        let head = key.len().min(bytes);
        text[..head].copy_from_slice(&key.as_bytes()[..head]);
        if !leaky && self.list.len() == RING {
            self.list.pop_front();
        }
        self.list.push_back(text.into_boxed_slice());
        self.list.len()
    }
}

/// Things that are there from the start.
pub(crate) struct Shelf {
    things: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Shelf {
    /// So many things of so many bytes.
    pub(crate) fn filled(count: usize, bytes: usize) -> Self {
        let things = (0..count.max(1)).map(|_| vec![0; bytes].into_boxed_slice()).collect();
        Self { things, bytes }
    }

    /// Reads the thing that a key leads to.
    pub(crate) fn look(&self, key: &str) -> usize {
        let place = key
            .bytes()
            .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let thing = &self.things[place % self.things.len()];
        let copy: Vec<u8> = thing.to_vec();
        copy.len() / self.bytes.max(1) * self.things.len()
    }

    /// Replaces four things, by chance, by new ones of half to one and a half the size.
    pub(crate) fn replace(&mut self, random: &Random) -> usize {
        for _ in 0..4 {
            let place = random.below(self.things.len());
            let bytes = self.bytes / 2 + random.below(self.bytes.max(1));
            self.things[place] = vec![1; bytes].into_boxed_slice();
        }
        self.things.len()
    }
}

/// Things that are made when first wanted.
pub(crate) struct Pool {
    places: Vec<Option<Box<[u8]>>>,
    made: usize,
    bytes: usize,
}

impl Pool {
    /// With so many places, all of them empty.
    pub(crate) fn of(places: usize, bytes: usize) -> Self {
        Self { places: vec![None; places.max(1)], made: 0, bytes }
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// The thing at a place, made if need be; says how many were made.
    pub(crate) fn take(&mut self, place: usize) -> usize {
        if self.places[place].is_none() {
            self.places[place] = Some(vec![2; self.bytes].into_boxed_slice());
            self.made += 1;
        }
        self.made
    }
}

struct Job {
    text: Vec<u8>,
    _counted: Guard,
}

/// Jobs that are done later, by a thread that does so many a second.
pub(crate) struct Backlog {
    jobs: SyncSender<Job>,
    bytes: usize,
}

impl Backlog {
    /// Starts the thread.
    pub(crate) fn start(bytes: usize, rate: u64) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        thread::Builder::new().name("jobs".to_owned()).spawn(move || work_off(&waiting, rate))?;
        Ok(Self { jobs, bytes })
    }

    /// Lets one more wait.
    pub(crate) fn take(&self, key: &str) -> usize {
        let mut text = key.as_bytes().to_vec();
        text.resize(self.bytes, b' ');
        let job = Job { text, _counted: track(Kind::Other) };
        usize::from(self.jobs.send(job).is_ok())
    }
}

fn work_off(waiting: &Receiver<Job>, rate: u64) {
    let share = usize::try_from(rate).unwrap_or(usize::MAX) / 100;
    let mut done = 0_usize;
    loop {
        for job in waiting.try_iter().take(share.max(1)) {
            done = done.wrapping_add(job.text.len());
        }
        thread::sleep(WORK_EVERY);
    }
}

/// The values of the keys asked for last.
pub(crate) struct Recent {
    values: HashMap<String, Vec<u8>>,
    order: VecDeque<String>,
    most: usize,
    bytes: usize,
}

impl Recent {
    /// At most so many.
    pub(crate) fn of(most: usize, bytes: usize) -> Self {
        Self { values: HashMap::new(), order: VecDeque::new(), most: most.max(1), bytes }
    }

    /// The value of a key, made if it is not there; the oldest leaves when there are too many.
    pub(crate) fn look(&mut self, key: &str) -> usize {
        if !self.values.contains_key(key) {
            if self.values.len() == self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.values.insert(key.to_owned(), vec![3; self.bytes]);
            self.order.push_back(key.to_owned());
        }
        self.values.len()
    }
}
