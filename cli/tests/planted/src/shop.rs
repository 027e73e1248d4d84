//! What the shop does with a request, by its model, and what is true of that model.
//! In: settings, the path and the key of a request. Out: the reply, and a sentence of truth that
//! names bytes as jemalloc counts them. The parts that keep things are left to `models`.

use crate::models::{Backlog, Orders, Pool, Recent, Shelf};
use crate::random::Random;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sizes of jemalloc's small classes, up to a page of 4 KiB (jemalloc(3), size classes).
const CLASSES: [usize; 29] = [
    8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896,
    1_024, 1_280, 1_536, 1_792, 2_048, 2_560, 3_072, 3_584, 4_096,
];

/// What the program is told.
pub(crate) struct Settings {
    /// `leak`, `steady`, `warm`, `churn`, `backlog` or `lru`.
    pub(crate) model: String,
    /// Bytes of one thing kept.
    pub(crate) bytes: usize,
    /// Things kept at most.
    pub(crate) keys: usize,
    /// Jobs a second that the backlog is worked off by.
    pub(crate) rate: u64,
    /// The path that leaks.
    pub(crate) leaky: String,
    /// Of everything random.
    pub(crate) seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: "steady".to_owned(),
            bytes: 256,
            keys: 1_000,
            rate: 20_000,
            leaky: "/orders".to_owned(),
            seed: 1,
        }
    }
}

impl Settings {
    /// What is true of the model, in words.
    pub(crate) fn truth(&self) -> String {
        let class = CLASSES.into_iter().find(|class| *class >= self.bytes);
        let class = class.unwrap_or(self.bytes);
        let Self { keys, rate, leaky, .. } = self;
        match self.model.as_str() {
            "leak" => format!("{class} bytes are kept for ever for each POST {leaky}"),
            "warm" => format!(
                "{keys} places are filled by chance with {class} bytes, so growth slows down with \
                 a time constant of {keys} requests"
            ),
            "churn" => format!("{keys} things of about {class} bytes, replaced by chance"),
            "backlog" => format!("{class} bytes wait for each request, {rate} a second are done"),
            "lru" => format!("the {keys} newest keys are kept, about {class} bytes each"),
            _ => format!("{keys} things of {class} bytes, made at the start"),
        }
    }
}

/// A shop of one model.
pub(crate) enum Shop {
    /// Keeps every order of one path, and a ring of the other.
    Leak { orders: Mutex<Orders>, carts: Mutex<Orders>, leaky: String, bytes: usize },
    /// Things made at the start, and read.
    Steady(Shelf),
    /// Things made when they are first wanted.
    Warm(Mutex<Pool>, Random),
    /// Things replaced all the time.
    Churn(Mutex<Shelf>, Random),
    /// Jobs that are done later.
    Backlog(Backlog),
    /// The newest keys.
    Lru(Mutex<Recent>),
}

impl Shop {
    /// Opens a shop.
    ///
    /// # Errors
    /// When there is no such model, or no thread for it.
    pub(crate) fn open(settings: &Settings) -> Result<Self, Box<dyn std::error::Error>> {
        let Settings { bytes, keys, rate, leaky, seed, .. } = settings;
        let random = Random::new(*seed);
        Ok(match settings.model.as_str() {
            "leak" => Self::Leak {
                orders: Mutex::default(),
                carts: Mutex::default(),
                leaky: leaky.clone(),
                bytes: *bytes,
            },
            "steady" => Self::Steady(Shelf::filled(*keys, *bytes)),
            "warm" => Self::Warm(Mutex::new(Pool::of(*keys, *bytes)), random),
            "churn" => Self::Churn(Mutex::new(Shelf::filled(*keys, *bytes)), random),
            "backlog" => Self::Backlog(Backlog::start(*bytes, *rate)?),
            "lru" => Self::Lru(Mutex::new(Recent::of(*keys, *bytes))),
            model => return Err(format!("there is no model `{model}`").into()),
        })
    }

    /// Takes an order or a cart and says what became of it.
    pub(crate) fn take(&self, path: &str, key: &str) -> String {
        let kept = match self {
            Self::Leak { orders, carts, leaky, bytes } => {
                let list = if path == "/orders" { orders } else { carts };
                locked(list).take(key, *bytes, path == leaky)
            }
            Self::Steady(shelf) => shelf.look(key),
            Self::Warm(pool, random) => {
                let mut pool = locked(pool);
                let place = random.below(pool.places());
                pool.take(place)
            }
            Self::Churn(shelf, random) => locked(shelf).replace(random),
            Self::Backlog(backlog) => backlog.take(key),
            Self::Lru(recent) => locked(recent).look(key),
        };
        format!("{key} is taken, there are {kept}\n")
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
