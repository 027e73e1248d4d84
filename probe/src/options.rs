//! What the probe is asked to do: from the environment, and over it from the program.
//! In: `EBBTIDE_*` variables and the builder's calls. Out: [`Options`], checked as it is built
//! from text; [`Options::start`] runs it.
//! Leaves to others: making the folder, opening the listener, choosing the allocator.

use crate::error::StartError;
use crate::route::{Responder, Route};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Mean bytes between two samples unless said: 512 KiB, which costs a server nothing that could
/// be measured. Load tests ask for 64 KiB or less.
pub const DEFAULT_SAMPLE_BYTES: u64 = 512 * 1_024;

/// Snapshots of a process kept in the folder unless said.
pub const DEFAULT_MAX_FILES: usize = 64;

/// Bytes of snapshots of a process kept in the folder unless said: 64 large ones.
pub const DEFAULT_MAX_BYTES: u64 = 256 * 1_024 * 1_024;

/// The largest sampling interval taken, 4 GiB: beyond that nothing would ever be sampled.
const MAX_SAMPLE_BYTES: u64 = 1 << 32;

/// How the probe shall run. [`Options::from_env`] reads the environment; each method replaces one
/// setting.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) sample_bytes: u64,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) token: Option<String>,
    pub(crate) max_files: usize,
    pub(crate) max_bytes: u64,
    pub(crate) every: Option<Duration>,
    pub(crate) rss_step: Option<u64>,
    pub(crate) at_exit: bool,
    pub(crate) signal: bool,
    pub(crate) census: bool,
    pub(crate) routes: Vec<Route>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: None,
            sample_bytes: DEFAULT_SAMPLE_BYTES,
            admin: None,
            token: None,
            max_files: DEFAULT_MAX_FILES,
            max_bytes: DEFAULT_MAX_BYTES,
            every: None,
            rss_step: None,
            at_exit: false,
            signal: true,
            census: true,
            routes: Vec::new(),
        }
    }
}

impl Options {
    /// The defaults, changed by `EBBTIDE_DIR`, `EBBTIDE_SAMPLE`, `EBBTIDE_ADMIN`,
    /// `EBBTIDE_ADMIN_TOKEN` and `EBBTIDE_CENSUS`. `EBBTIDE_ALLOCATOR` took effect at the first
    /// allocation and is only checked here.
    ///
    /// # Errors
    ///
    /// [`StartError::Variable`] names the variable that cannot be read.
    pub fn from_env() -> Result<Self, StartError> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// [`Self::from_env`] with any source of variables.
    pub(crate) fn from_variables(
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, StartError> {
        let mut options = Self { dir: read("EBBTIDE_DIR").map(PathBuf::from), ..Self::default() };
        if let Some(text) = read("EBBTIDE_SAMPLE") {
            options.sample_bytes = parse_size(&text).ok_or(StartError::Variable {
                name: "EBBTIDE_SAMPLE",
                value: text,
                cure: "write bytes or a size such as `64KiB`, between 1 and 4GiB",
            })?;
        }
        if let Some(text) = read("EBBTIDE_ADMIN") {
            options.admin = Some(text.parse().map_err(|_| StartError::Variable {
                name: "EBBTIDE_ADMIN",
                value: text,
                cure: "write an address and a port such as `127.0.0.1:0`",
            })?);
        }
        if let Some(text) = read("EBBTIDE_ALLOCATOR")
            && !matches!(text.as_str(), "jemalloc" | "dhat")
        {
            // The choice itself was made at the first allocation; what it did not know, it took
            // for jemalloc.
            let cure = "write `jemalloc` or `dhat`";
            return Err(StartError::Variable { name: "EBBTIDE_ALLOCATOR", value: text, cure });
        }
        options.token = read("EBBTIDE_ADMIN_TOKEN");
        options.census = match read("EBBTIDE_CENSUS").as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(text) => {
                return Err(StartError::Variable {
                    name: "EBBTIDE_CENSUS",
                    value: text.to_owned(),
                    cure: "write `on` or `off`",
                });
            }
        };
        Ok(options)
    }

    /// Folder for snapshots, made with mode 0700 if it is not there.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Mean bytes between two samples, rounded to a power of two; 1 counts each allocation.
    #[must_use]
    pub fn sample_interval(mut self, bytes: u64) -> Self {
        self.sample_bytes = bytes.clamp(1, MAX_SAMPLE_BYTES);
        self
    }

    /// Opens the admin listener there; port 0 takes a free one. Away from loopback it needs a
    /// [`Self::token`].
    #[must_use]
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.admin = Some(address);
        self
    }

    /// Opens the admin listener on a free loopback port, unless an address is set already.
    #[must_use]
    pub fn admin_loopback(mut self) -> Self {
        self.admin.get_or_insert(SocketAddr::from(([127, 0, 0, 1], 0)));
        self
    }

    /// Bearer token that every admin request must carry.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Keeps at most so many snapshots and so many bytes of this process; the oldest go first,
    /// the newest always stays.
    #[must_use]
    pub fn keep(mut self, files: usize, bytes: u64) -> Self {
        self.max_files = files.max(1);
        self.max_bytes = bytes;
        self
    }

    /// Takes a snapshot each time this span is over; at least one second.
    #[must_use]
    pub fn every(mut self, span: Duration) -> Self {
        self.every = Some(span.max(Duration::from_secs(1)));
        self
    }

    /// Takes a snapshot each time the resident set has grown by so many bytes above the highest
    /// seen so far; looked at once a second.
    #[must_use]
    pub fn rss_step(mut self, bytes: u64) -> Self {
        self.rss_step = Some(bytes.max(1));
        self
    }

    /// Takes a last snapshot when the probe is dropped.
    #[must_use]
    pub fn at_exit(mut self, on: bool) -> Self {
        self.at_exit = on;
        self
    }

    /// Whether SIGUSR2 takes a snapshot; on unless switched off.
    #[must_use]
    pub fn signal(mut self, on: bool) -> Self {
        self.signal = on;
        self
    }

    /// Whether the census counts; on unless switched off.
    #[must_use]
    pub fn census(mut self, on: bool) -> Self {
        self.census = on;
        self
    }

    /// Lets `responder` answer `prefix` and what lies below it on the admin listener. The
    /// probe's own paths come first.
    #[must_use]
    pub fn route(mut self, prefix: impl Into<String>, responder: Responder) -> Self {
        self.routes.push(Route { prefix: prefix.into(), responder });
        self
    }

    /// log2 of the sampling interval, rounded to the nearest.
    pub(crate) fn lg_sample(&self) -> u32 {
        let bytes = u128::from(self.sample_bytes.max(1));
        let below = bytes.ilog2();
        // Nearest on the logarithmic scale: the middle of 2^n and 2^(n+1) is 2^(n+1/2).
        let above_middle = bytes * bytes >= 2 << (2 * below);
        if above_middle { below + 1 } else { below }
    }
}

/// Reads `64KiB`, `1 MiB`, `512kB` or plain bytes; `None` when it is none, 0 or above 4 GiB.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| (1..=MAX_SAMPLE_BYTES).contains(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_their_powers() {
        let cases = [
            ("1", Some((1, 0))),
            ("64KiB", Some((65_536, 16))),
            ("512 kib", Some((524_288, 19))),
            ("100000", Some((100_000, 17))),
            ("80kB", Some((80_000, 16))),
            ("4GiB", Some((1 << 32, 32))),
            ("5GiB", None),
            ("0", None),
            ("64 apples", None),
            ("KiB", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            let read = parse_size(text)
                .map(|bytes| (bytes, Options::default().sample_interval(bytes).lg_sample()));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn variables_are_read_and_faults_name_them() {
        let read = |pairs: &'static [(&str, &str)]| {
            Options::from_variables(|name| {
                pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
            })
        };
        let options = read(&[("EBBTIDE_CENSUS", "off"), ("EBBTIDE_ADMIN", "127.0.0.1:0")]).unwrap();
        assert!(!options.census);
        assert_eq!(options.admin.unwrap().port(), 0);
        for name in ["EBBTIDE_SAMPLE", "EBBTIDE_ADMIN", "EBBTIDE_CENSUS", "EBBTIDE_ALLOCATOR"] {
            let text = Options::from_variables(|asked| (asked == name).then(|| "x".to_owned()))
                .unwrap_err()
                .to_string();
            assert!(text.contains(name), "{text}");
        }
    }
}
