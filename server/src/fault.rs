//! The faults and their switches: each a mistake real servers make, off until it is asked for.
//! In: text such as `cache`, `listener=10%`, `tail=1%:20ms`, when the server starts or while it
//! runs. Out: [`Faults::strikes`] and [`Faults::setting`], read by the one marked place that makes
//! each mistake. Leaves to others: the mistakes themselves (search for `FAULT`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Shares are kept in millionths.
const MILLION: u64 = 1_000_000;

/// Bytes a fault may be told to waste per request: more would end the process, not test it.
const WASTE_MAX: u64 = 16 << 20;

/// A mistake the server can be told to make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum Fault {
    /// `POST /api/v1/log` keeps every body in a list without a bound.
    Cache,
    /// A subscription is not removed when its client has gone.
    Listener,
    /// A task holds a whole request and waits for what never comes.
    Context,
    /// The task that beats for a connection is not stopped with it.
    Timer,
    /// A session stays in the registry after its connection has closed.
    Connection,
    /// That many bytes are kept for each request.
    Leak,
    /// That many bytes are allocated and freed for each request.
    Alloc,
    /// That much more CPU is used for each request.
    Cpu,
    /// That share of requests takes that much longer.
    Tail,
    /// Everything stands still for a time, again and again.
    Stall,
    /// That share of messages is not delivered.
    Drop,
    /// That share of requests is answered with 500.
    Error,
}

/// All faults, in the order of their numbers.
pub const FAULTS: [Fault; 12] = [
    Fault::Cache,
    Fault::Listener,
    Fault::Context,
    Fault::Timer,
    Fault::Connection,
    Fault::Leak,
    Fault::Alloc,
    Fault::Cpu,
    Fault::Tail,
    Fault::Stall,
    Fault::Drop,
    Fault::Error,
];

impl Fault {
    /// The word it is switched by.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Listener => "listener",
            Self::Context => "context",
            Self::Timer => "timer",
            Self::Connection => "connection",
            Self::Leak => "leak",
            Self::Alloc => "alloc",
            Self::Cpu => "cpu",
            Self::Tail => "tail",
            Self::Stall => "stall",
            Self::Drop => "drop",
            Self::Error => "error",
        }
    }

    /// A setting it takes, to show to who got it wrong.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Cache => "cache or cache=10%",
            Self::Listener => "listener or listener=10%",
            Self::Context => "context or context=10%",
            Self::Timer => "timer or timer=10%",
            Self::Connection => "connection or connection=10%",
            Self::Leak => "leak=64",
            Self::Alloc => "alloc=512",
            Self::Cpu => "cpu=5%",
            Self::Tail => "tail=1%:20ms",
            Self::Stall => "stall=2s@30s",
            Self::Drop => "drop=1%",
            Self::Error => "error=1%",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        FAULTS.into_iter().find(|fault| fault.key() == name)
    }
}

/// How a fault is set. What its parts mean is the fault's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting {
    /// It does not happen.
    Off,
    /// It happens in this share of cases, in millionths.
    Share(u64),
    /// It takes this many bytes each time.
    Bytes(u64),
    /// In this share of cases, in millionths, it takes this long.
    ShareFor(u64, Duration),
    /// For the first duration out of each second one.
    Every(Duration, Duration),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: u64| share as f64 / 10_000.0;
        match *self {
            Self::Off => f.write_str("off"),
            Self::Share(share) => write!(f, "{}%", percent(share)),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::ShareFor(share, time) => write!(f, "{}%:{time:?}", percent(share)),
            Self::Every(time, every) => write!(f, "{time:?}@{every:?}"),
        }
    }
}

/// A fault that could not be switched.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// There is no such fault.
    #[error("no fault is called `{0}` (there are {list})", list = names())]
    Unknown(String),
    /// The setting cannot be read, or is out of bounds.
    #[error("fault `{name}` cannot be set to `{setting}` (say {example}, or off)")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What was said.
        setting: String,
        /// What could be said.
        example: &'static str,
    },
    /// The body of a request to switch faults is not an object of names and settings.
    #[error("the body is not a JSON object such as {{\"cache\": \"on\", \"tail\": \"off\"}}")]
    Body,
}

fn names() -> String {
    FAULTS.map(Fault::key).join(", ")
}

/// The switches. Read on every request, so on and off is one atomic number.
#[derive(Debug, Default)]
pub struct Faults {
    /// Millionths of cases in which each strikes; 0 is off.
    shares: [AtomicU64; FAULTS.len()],
    /// Cases there were, times the share: it strikes whenever a million is passed.
    passed: [AtomicU64; FAULTS.len()],
    /// The whole settings, for those that are more than a share.
    settings: RwLock<BTreeMap<usize, Setting>>,
}

impl Faults {
    /// Switches by text: `cache`, `cache=on`, `cache=off`, `cache=10%`, `tail=1%:20ms`.
    ///
    /// # Errors
    /// When there is no such fault, or it cannot be set so.
    pub fn switch(&self, text: &str) -> Result<(), FaultError> {
        let (name, setting) = text.split_once('=').unwrap_or((text, "on"));
        let (fault, setting) = parse(name.trim(), setting.trim())?;
        self.set(fault, setting);
        Ok(())
    }

    /// Switches several by a JSON object of names and settings, all of them or none.
    ///
    /// # Errors
    /// As [`Faults::switch`], and when the body is no such object.
    pub fn switch_json(&self, body: &[u8]) -> Result<(), FaultError> {
        let wanted: BTreeMap<String, String> =
            serde_json::from_slice(body).map_err(|_| FaultError::Body)?;
        let wanted: Vec<_> =
            wanted.iter().map(|(name, setting)| parse(name, setting)).collect::<Result<_, _>>()?;
        wanted.into_iter().for_each(|(fault, setting)| self.set(fault, setting));
        Ok(())
    }

    /// All settings as a JSON object of names and settings, as [`Faults::switch_json`] takes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let settings: BTreeMap<_, _> = FAULTS
            .into_iter()
            .map(|fault| (fault.key(), self.setting(fault).to_string()))
            .collect();
        serde_json::to_string(&settings).expect("a map of strings is always JSON")
    }

    /// Sets one fault.
    pub fn set(&self, fault: Fault, setting: Setting) {
        let share = match setting {
            Setting::Off => 0,
            Setting::Share(share) | Setting::ShareFor(share, _) => share,
            Setting::Bytes(_) | Setting::Every(..) => MILLION,
        };
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.insert(fault as usize, setting);
        self.passed[fault as usize].store(0, Relaxed);
        self.shares[fault as usize].store(share, Relaxed);
    }

    /// How a fault is set now.
    #[must_use]
    pub fn setting(&self, fault: Fault) -> Setting {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        settings.get(&(fault as usize)).copied().unwrap_or(Setting::Off)
    }

    /// Whether a fault is on at all.
    pub(crate) fn is_on(&self, fault: Fault) -> bool {
        self.shares[fault as usize].load(Relaxed) != 0
    }

    /// Whether it happens this time. Cases are spread evenly (every tenth at 10 %), so that what
    /// leaks in a given number of cases is known exactly.
    pub(crate) fn strikes(&self, fault: Fault) -> bool {
        let share = self.shares[fault as usize].load(Relaxed);
        if share == 0 {
            return false;
        }
        let before = self.passed[fault as usize].fetch_add(share, Relaxed);
        before / MILLION != before.wrapping_add(share) / MILLION
    }
}

fn parse(name: &str, text: &str) -> Result<(Fault, Setting), FaultError> {
    let fault = Fault::parse(name).ok_or_else(|| FaultError::Unknown(name.to_owned()))?;
    let setting = if text == "off" { Some(Setting::Off) } else { read(fault, text) };
    let setting = setting.ok_or_else(|| FaultError::Setting {
        name: fault.key(),
        setting: text.to_owned(),
        example: fault.example(),
    })?;
    Ok((fault, setting))
}

fn read(fault: Fault, text: &str) -> Option<Setting> {
    match fault {
        Fault::Cache | Fault::Listener | Fault::Context | Fault::Timer | Fault::Connection => {
            if text == "on" {
                Some(Setting::Share(MILLION))
            } else {
                share(text).map(Setting::Share)
            }
        }
        Fault::Cpu | Fault::Drop | Fault::Error => share(text).map(Setting::Share),
        Fault::Leak | Fault::Alloc => {
            let bytes = text.parse().ok().filter(|bytes| (1..=WASTE_MAX).contains(bytes));
            bytes.map(Setting::Bytes)
        }
        Fault::Tail => {
            let (part, time) = text.split_once(':')?;
            Some(Setting::ShareFor(share(part)?, duration(time)?))
        }
        Fault::Stall => {
            let (time, every) = text.split_once('@')?;
            let (time, every) = (duration(time)?, duration(every)?);
            (time < every).then_some(Setting::Every(time, every))
        }
    }
}

/// `5%` or `0.05`, in millionths, above 0 and at most 1.
fn share(text: &str) -> Option<u64> {
    let value: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    let millionths = (value * MILLION as f64).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in bounds")]
    (1.0..=MILLION as f64).contains(&millionths).then_some(millionths as u64)
}

/// `20ms`, `2s`, `1m`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let duration = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_said_again() {
        for (text, fault, said) in [
            ("cache", Fault::Cache, "100%"),
            ("listener=10%", Fault::Listener, "10%"),
            ("timer=0.5", Fault::Timer, "50%"),
            ("leak=64", Fault::Leak, "64"),
            ("cpu=5%", Fault::Cpu, "5%"),
            ("tail=1%:20ms", Fault::Tail, "1%:20ms"),
            ("stall=2s@30s", Fault::Stall, "2s@30s"),
            ("error=off", Fault::Error, "off"),
        ] {
            let faults = Faults::default();
            faults.switch(text).unwrap();
            assert_eq!(faults.setting(fault).to_string(), said, "{text}");
            assert_eq!(faults.is_on(fault), said != "off", "{text}");
            let again = Faults::default();
            again.switch_json(faults.to_json().as_bytes()).unwrap();
            assert_eq!(again.to_json(), faults.to_json(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_set_is_told_with_what_can() {
        for (text, says) in [
            ("cash", "there are cache, listener"),
            ("cache=maybe", "say cache or cache=10%, or off"),
            ("cache=101%", "cache=10%"),
            ("leak", "leak=64"),
            ("leak=0", "leak=64"),
            ("tail=1%", "tail=1%:20ms"),
            ("stall=30s@2s", "stall=2s@30s"),
        ] {
            let faults = Faults::default();
            let error = faults.switch(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(FAULTS.into_iter().all(|fault| !faults.is_on(fault)), "{text}");
        }
        let faults = Faults::default();
        assert!(faults.switch_json(br#"{"cache":"on","cash":"on"}"#).is_err());
        assert!(!faults.is_on(Fault::Cache), "all or none");
    }

    #[test]
    fn a_share_is_spread_evenly() {
        for (setting, cases, strikes) in [("10%", 1_000, 100), ("50%", 7, 3), ("on", 9, 9)] {
            let faults = Faults::default();
            faults.switch(&format!("cache={setting}")).unwrap();
            let struck = (0..cases).filter(|_| faults.strikes(Fault::Cache)).count();
            assert_eq!(struck, strikes, "{setting}");
        }
    }
}
