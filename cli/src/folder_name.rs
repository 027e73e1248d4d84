//! The name of a run's folder when none is given: when it began and what it is, so that folders
//! sort by time. In: the time and a name. Out: a path that is not taken.
//! Making the folder is left to `rounds`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where runs are kept.
const RUNS: &str = "ebb-runs";
/// Characters of the name that are kept.
const NAME_MAX: usize = 40;
/// Folders tried when runs of the same name begin within one second.
const TRIES: u32 = 100;

/// A folder for a run that begins now, which is not there yet.
pub(crate) fn fresh(name: &str) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let stem = format!("{}-{}", stamp(now), plain(name));
    let runs = PathBuf::from(RUNS);
    let first = runs.join(&stem);
    if !first.exists() {
        return first;
    }
    (2..TRIES)
        .map(|count| runs.join(format!("{stem}-{count}")))
        .find(|path| !path.exists())
        .unwrap_or(first)
}

/// Letters, digits and hyphens alone.
fn plain(name: &str) -> String {
    let words: Vec<&str> = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .collect();
    let joined: String = words.join("-").to_lowercase().chars().take(NAME_MAX).collect();
    if joined.is_empty() { "run".to_owned() } else { joined }
}

/// Unix seconds as `20261121-094512`, in UTC. The date is by the algorithm `civil_from_days` of
/// Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn stamp(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}-{:02}{:02}{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        for (unix_s, expected) in [
            (0, "19700101-000000"),
            (951_782_399, "20000228-235959"),
            (951_782_400, "20000229-000000"),
            (1_709_164_800, "20240229-000000"),
            (1_735_689_599, "20241231-235959"),
            (4_102_444_800, "21000101-000000"),
        ] {
            assert_eq!(stamp(unix_s), expected);
        }
    }

    #[test]
    fn names_are_made_plain() {
        for (name, expected) in [
            ("chat under load", "chat-under-load"),
            ("../../etc/passwd", "etc-passwd"),
            ("http://127.0.0.1:8080/", "http-127-0-0-1-8080"),
            ("", "run"),
        ] {
            assert_eq!(plain(name), expected);
        }
    }
}
