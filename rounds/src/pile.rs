//! Snapshots that lie in a folder, whoever left them there. In: the folder. Out: their paths in the
//! order of time, and a line for people for each file that is none. Reading them is left to
//! `heap`, what they say to `archive`.

use ebbtide_profiler::parse;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Files that are looked at: a series has at most some hundred, and others may lie beside it.
pub const FILES_MAX: usize = 10_000;

/// Bytes by which a file is told.
const HEAD: usize = 4_096;

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Ends of names that are snapshots, where the content alone may mean anything.
const ENDS: &[&str] = &[".pb", ".pb.gz", ".pprof", ".heap", ".heapprofile", ".folded", ".rss"];

/// What lies in a folder.
#[derive(Debug, Default)]
pub struct Pile {
    /// Snapshots, the oldest first.
    pub snapshots: Vec<PathBuf>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
    /// There is more than is looked at, and so nothing is known of the rest.
    pub is_cut: bool,
}

/// Looks through a folder; `taken_ms` tells when a snapshot was taken, where it says so itself.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn of(folder: &Path, taken_ms: impl Fn(&Path) -> Option<u64>) -> io::Result<Pile> {
    let mut pile = Pile::default();
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for (index, entry) in fs::read_dir(folder)?.enumerate() {
        if index >= FILES_MAX {
            pile.is_cut = true;
            break;
        }
        let path = entry?.path();
        let Ok(about) = fs::metadata(&path) else { continue };
        if !about.is_file() || is_sidecar(&path) {
            continue;
        }
        if !is_snapshot(&path) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            pile.skipped.push(format!("`{name}` is no heap snapshot and was left out"));
            continue;
        }
        let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let at = taken_ms(&path).or(changed.map(|since| since.as_millis() as u64));
        found.push((at.unwrap_or_default(), path));
    }
    found.sort();
    pile.snapshots = found.into_iter().map(|(_, path)| path).collect();
    pile.skipped.sort();
    Ok(pile)
}

/// The JSON beside a snapshot of the same name.
fn is_sidecar(path: &Path) -> bool {
    let beside = || ["pb.gz", "rss"].into_iter().any(|end| path.with_extension(end).exists());
    path.extension().is_some_and(|end| end == "json") && beside()
}

fn is_snapshot(path: &Path) -> bool {
    let mut head = vec![0; HEAD];
    let read = File::open(path).and_then(|mut file| file.read(&mut head)).unwrap_or_default();
    head.truncate(read);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_named = ENDS.iter().any(|end| name.ends_with(end));
    let is_text = parse::heap_v2::recognises(&head)
        || parse::heaptimeline::recognises(&head)
        || parse::dhat::recognises(&head);
    is_text || (is_named && !head.is_empty()) || head.starts_with(&GZIP_MAGIC)
}

/// The time in the name that Node gives: `Heap.20261121.161502.4711.0.001.heapsnapshot`, Unix
/// milliseconds as if it were of the prime meridian, since differences are all that is asked for.
#[must_use]
pub fn named_ms(name: &str) -> Option<u64> {
    let mut parts = name.strip_prefix("Heap.")?.split('.');
    let (date, time) = (parts.next()?, parts.next()?);
    if date.len() != 8 || time.len() != 6 || !name.ends_with(".heapsnapshot") {
        return None;
    }
    let number = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(date, 0, 4)?, number(date, 4, 6)?, number(date, 6, 8)?);
    let seconds = number(time, 0, 2)? * 3_600 + number(time, 2, 4)? * 60 + number(time, 4, 6)?;
    Some((days(year, month, day)? * 86_400 + seconds) * 1_000)
}

/// Days since 1970 of a date. Source: H. Hinnant, days_from_civil.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_node_gives_tells_the_time() {
        for (name, ms) in [
            ("Heap.19700101.000001.1.0.001.heapsnapshot", Some(1_000)),
            ("Heap.20240229.120000.1.0.001.heapsnapshot", Some(1_709_208_000_000)),
            ("Heap.20241301.120000.1.0.001.heapsnapshot", None),
            ("Heap.2024.12.heapsnapshot", None),
            ("heapdump-1.heapsnapshot", None),
        ] {
            assert_eq!(named_ms(name), ms, "{name}");
        }
    }

    #[test]
    fn a_folder_of_more_than_is_looked_at_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for (count, is_cut) in [(FILES_MAX, false), (FILES_MAX + 1, true)] {
            let first = if is_cut { FILES_MAX } else { 0 };
            (first..count)
                .for_each(|index| fs::write(folder.path().join(index.to_string()), "").unwrap());
            assert_eq!(of(folder.path(), |_| None).unwrap().is_cut, is_cut, "{count}");
        }
    }

    #[test]
    fn snapshots_come_in_the_order_of_time_and_others_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let lay = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        lay("Heap.20260102.000000.1.0.002.heapsnapshot", "{\"snapshot\":{");
        lay("Heap.20260101.000000.1.0.001.heapsnapshot", "{\"snapshot\":{");
        lay("notes.txt", "nothing");
        lay("heapdump-1-1-1.pb.gz", "\u{1f}");
        lay("heapdump-1-1-1.json", "{}");
        let pile = of(folder.path(), |path| named_ms(path.file_name()?.to_str()?)).unwrap();
        let names: Vec<_> = pile.snapshots.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(
            names,
            [
                "Heap.20260101.000000.1.0.001.heapsnapshot",
                "Heap.20260102.000000.1.0.002.heapsnapshot",
                "heapdump-1-1-1.pb.gz"
            ]
        );
        assert_eq!(pile.skipped, ["`notes.txt` is no heap snapshot and was left out"]);
    }
}
