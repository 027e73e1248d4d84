//! Reads jemalloc's raw dump, text of the form `heap_v2`, and undoes the bias of sampling.
//! In: the bytes of a dump. Out: [`Dump`]: per stack, live and cumulative [`Cell`]s, unbiased,
//! and the text of the memory map that jemalloc appends.
//! Only the `t*` lines count; those of single threads are skipped.
//! Leaves to others: the map's meaning (`mapping`) and the output form (`pprof`).

use crate::error::SnapshotError;

/// Frames of one stack at most; jemalloc itself keeps 128.
const MAX_FRAMES: usize = 1_024;

/// A dump, read.
#[derive(Debug)]
pub(crate) struct Dump<'a> {
    /// Mean bytes between two samples.
    pub(crate) interval_bytes: u64,
    /// The sum over all stacks as jemalloc gives it.
    pub(crate) total: Columns,
    /// The stacks that hold or held anything.
    pub(crate) stacks: Vec<Stack>,
    /// `/proc/self/maps` as it was at the dump.
    pub(crate) maps: &'a str,
}

/// One stack of return addresses, leaf first.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) addresses: Vec<u64>,
    pub(crate) columns: Columns,
    /// Live samples that are at least so many seconds old, and not of the next class: seconds
    /// and samples. Not in a dump: `generations` puts them there.
    pub(crate) ages: Vec<(u32, u64)>,
}

/// Live and cumulative counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Columns {
    pub(crate) live: Cell,
    /// Ever allocated since sampling began; all 0 without `prof_accum`.
    pub(crate) ever: Cell,
}

/// A count of objects and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    /// Samples behind the two estimates.
    pub(crate) samples: u64,
    /// Objects, estimated.
    pub(crate) objects: f64,
    /// Bytes in size classes, estimated.
    pub(crate) bytes: f64,
}

impl Cell {
    /// Estimates what `samples` with `bytes` stand for. An allocation of Z bytes is sampled with
    /// probability 1 - exp(-Z/R), so each sample stands for the inverse of that. jemalloc unbiases
    /// each sample by itself and writes the sums so that this formula, with Z the mean of the
    /// stack, gives them back (`prof_do_unbias` in its `prof_data.c`). At R = 1 the factor is 1
    /// but for objects of 8 bytes, where rounding to whole objects restores the count.
    fn unbiased(samples: u64, bytes: u64, interval_bytes: u64) -> Self {
        if samples == 0 || bytes == 0 {
            return Self::default();
        }
        let mean = bytes as f64 / samples as f64;
        let scale = -1.0 / (-mean / interval_bytes as f64).exp_m1();
        Self { samples, objects: samples as f64 * scale, bytes: bytes as f64 * scale }
    }

    /// Mean bytes of an object, if there is one.
    pub(crate) fn mean_bytes(self) -> Option<f64> {
        (self.objects > 0.0).then(|| self.bytes / self.objects)
    }
}

impl<'a> Dump<'a> {
    /// Reads a dump whole.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Malformed`] with the first line that is not of the form.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, SnapshotError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            SnapshotError::Malformed { line: line + 1, reason: "not UTF-8" }
        })?;
        let (heap, maps) = text.split_once("\nMAPPED_LIBRARIES:\n").unwrap_or((text, ""));
        let malformed = |index: usize, reason: &'static str| SnapshotError::Malformed {
            line: index + 1,
            reason,
        };
        let mut lines = heap.lines().enumerate();
        let interval_bytes = lines
            .next()
            .and_then(|(_, line)| line.strip_prefix("heap_v2/")?.trim().parse().ok())
            .filter(|&interval: &u64| interval > 0)
            .ok_or(malformed(0, "expected `heap_v2/<interval>`"))?;
        let mut total = Columns::default();
        let mut stacks = Vec::new();
        let mut open: Option<Vec<u64>> = None;
        for (index, line) in lines {
            if let Some(frames) = line.strip_prefix('@') {
                let addresses: Option<Vec<u64>> = frames
                    .split_ascii_whitespace()
                    .take(MAX_FRAMES)
                    .map(|frame| u64::from_str_radix(frame.strip_prefix("0x")?, 16).ok())
                    .collect();
                open = Some(addresses.ok_or_else(|| malformed(index, "expected `@ 0x...`"))?);
            } else if let Some(counts) = line.trim_start().strip_prefix("t*:") {
                let columns = columns(counts, interval_bytes)
                    .ok_or_else(|| malformed(index, "expected `t*: n: bytes [n: bytes]`"))?;
                match open.take() {
                    None => total = columns,
                    Some(addresses) if columns != Columns::default() => {
                        stacks.push(Stack { addresses, columns, ages: Vec::new() });
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(Self { interval_bytes, total, stacks, maps })
    }
}

/// Reads ` 5: 32768 [3: 1232]`.
fn columns(text: &str, interval_bytes: u64) -> Option<Columns> {
    let (live, ever) = text.split_once('[')?;
    let cell = |text: &str| {
        let (samples, bytes) = text.split_once(':')?;
        let samples = samples.trim().parse().ok()?;
        Some(Cell::unbiased(samples, bytes.trim().parse().ok()?, interval_bytes))
    };
    Some(Columns { live: cell(live)?, ever: cell(ever.trim_end().strip_suffix(']')?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "heap_v2/65536\n  t*: 3: 131072 [5: 133120]\n  t0: 3: 131072 [5: 133120]\n\
        @ 0x10 0x20\n  t*: 2: 131072 [2: 131072]\n  t0: 2: 131072 [2: 131072]\n\
        @ 0x11\n  t*: 0: 0 [2: 2048]\n@\n  t*: 0: 0 [0: 0]\n\n\
        MAPPED_LIBRARIES:\n00-ff r-xp 0 0:0 0\n";

    #[test]
    fn a_dump_is_read_and_each_cell_unbiased() {
        let dump = Dump::parse(DUMP.as_bytes()).unwrap();
        assert_eq!(dump.interval_bytes, 65_536);
        assert_eq!(dump.stacks.len(), 2);
        assert_eq!(dump.total.live.samples, 3);
        assert_eq!(dump.stacks[0].addresses, [0x10, 0x20]);
        // Objects as large as the interval: each sample stands for 1 / (1 - 1/e).
        let scale = 1.0 / (1.0 - (-1.0f64).exp());
        assert!((dump.stacks[0].columns.live.objects - 2.0 * scale).abs() < 1e-9);
        assert!((dump.stacks[0].columns.live.bytes - 131_072.0 * scale).abs() < 1e-6);
        // Small objects: about one in 64 is sampled. Nothing live stays 0 and is no 0/0.
        assert_eq!(dump.stacks[1].columns.live, Cell::default());
        assert_eq!(dump.stacks[1].columns.live.mean_bytes(), None);
        assert!((dump.stacks[1].columns.ever.objects - 129.0).abs() < 0.1);
        assert!(dump.maps.starts_with("00-ff"));
    }

    #[test]
    fn exact_counts_stay_what_they_are() {
        for (objects, size) in [(1, 8), (3_000, 8), (10_000, 8), (7, 16), (12_345, 4_096)] {
            // What jemalloc writes at lg 0 for so many objects, rounding included.
            let written = |value: f64| (value * (1.0 - (-f64::from(size)).exp())).round() as u64;
            let samples = written(f64::from(objects));
            let bytes = written(f64::from(objects * size));
            let cell = Cell::unbiased(samples, bytes, 1);
            assert_eq!(cell.objects.round(), f64::from(objects), "{objects} of {size}");
            assert!((cell.bytes - f64::from(objects * size)).abs() < 5.0, "{objects} of {size}");
        }
    }

    #[test]
    fn malformed_dumps_are_refused_by_line() {
        let cases = [
            ("", 1),
            ("heap_v1/5", 1),
            ("heap_v2/0\n", 1),
            ("heap_v2/1\n@ 0xzz\n", 2),
            ("heap_v2/1\n  t*: x: 1 [0: 0]\n", 2),
            ("heap_v2/1\n  t*: 1: 1\n", 2),
        ];
        for (text, expected) in cases {
            match Dump::parse(text.as_bytes()) {
                Err(SnapshotError::Malformed { line, .. }) => assert_eq!(line, expected, "{text}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }
}
