//! Figures as a person reads them: bytes, times, counts, shares, and a value with its interval.
//! In go numbers with the unit in the function's name, out go short strings with the unit
//! written. Rounded for reading; whoever needs every digit takes the JSON.

use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{Estimate, Kind};

/// Bytes up to which no larger unit is used, so that growth per operation stays in bytes.
const PLAIN_BYTES_MAX: f64 = 9_999.5;

/// Share of the half width by which the two sides of an interval may differ and still be
/// written as one `±`.
const SYMMETRIC_WITHIN: f64 = 0.15;

/// A whole number with its thousands set apart: `12,345`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with as many decimals as its size deserves: `0.034`, `1.25`, `12.5`, `12,345`.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    let size = value.abs();
    let sign = if value < 0.0 { "-" } else { "" };
    if size == 0.0 {
        "0".to_owned()
    } else if size >= 99.95 {
        format!("{sign}{}", count(size.round() as u64))
    } else if size >= 9.995 {
        format!("{sign}{size:.1}")
    } else if size >= 0.095 {
        format!("{sign}{size:.2}")
    } else {
        format!("{sign}{size:.3}")
    }
}

/// Bytes, in binary units from 10,000 on: `1,024 B`, `12.4 MiB`.
#[must_use]
pub fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    let mut size = value.abs();
    if size < PLAIN_BYTES_MAX {
        return format!("{} B", plain(value));
    }
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1_000.0 {
            break;
        }
        size /= 1_024.0;
        unit = larger;
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!(
        "{sign}{} {unit}",
        if size < 99.95 { format!("{size:.1}") } else { format!("{size:.0}") }
    )
}

/// Bytes with their sign always written: `+1.2 MiB`.
#[must_use]
pub fn bytes_change(value: f64) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", bytes(value))
}

/// Milliseconds: `0.12 ms`, `12.3 ms`, `1.23 s`.
#[must_use]
pub fn millis(value: f64) -> String {
    if value.is_finite() && value.abs() >= 999.5 {
        format!("{} s", number(value / 1_000.0))
    } else {
        format!("{} ms", number(value))
    }
}

/// A length of time in milliseconds, as one says it: `42 s`, `1 min 42 s`, `2 h 05 min`.
#[must_use]
pub fn duration(ms: f64) -> String {
    let seconds = (ms / 1_000.0).max(0.0);
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// Unix milliseconds as `2026-01-01 00:00:00 UTC`, by the civil calendar (days to date after
/// H. Hinnant, "chrono-compatible low-level date algorithms").
#[must_use]
pub fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        rest / 3_600,
        rest % 3_600 / 60,
        rest % 60
    )
}

/// A share from 0 to 1 in per cent. Neither 0 % nor 100 % unless it is exactly that.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        "unknown".to_owned()
    } else if value == 0.0 || value == 100.0 {
        format!("{value:.0} %")
    } else if value < 0.01 {
        "< 0.01 %".to_owned()
    } else if value > 99.99 && value < 100.0 {
        "> 99.99 %".to_owned()
    } else if (9.995..99.0).contains(&value) {
        format!("{value:.1} %")
    } else {
        format!("{value:.2} %")
    }
}

/// A number of bytes with its interval: `1,024 ± 20 B`, or `1,024 (900 to 1,300) B` when the
/// sides differ.
#[must_use]
pub fn estimate_bytes(estimate: &Estimate) -> String {
    format!("{} B", interval(estimate, plain))
}

/// What is live at a site: bytes, or objects where those alone were counted.
#[must_use]
pub fn live(site: &SiteVerdict) -> String {
    match only_counted(site) {
        Some(_) => format!("{} {}", count(site.live_objects.unwrap_or(0)), counted(site)),
        None => bytes(site.live_bytes as f64),
    }
}

/// Objects per operation of a site of which no bytes are known: a census has no sizes.
fn only_counted(site: &SiteVerdict) -> Option<&Estimate> {
    site.objects_per_op.as_ref().filter(|_| site.growth_per_op.confidence <= 0.0)
}

fn counted(site: &SiteVerdict) -> String {
    match site.kind {
        Kind::Other => "objects".to_owned(),
        kind => format!("{}s", kind.words()),
    }
}

/// A number with its interval: `1.00 ± 0.02`.
#[must_use]
pub fn estimate(estimate: &Estimate) -> String {
    interval(estimate, number)
}

fn interval(estimate: &Estimate, figure: impl Fn(f64) -> String) -> String {
    let (below, above) = (estimate.value - estimate.low, estimate.high - estimate.value);
    let half = (above + below) / 2.0;
    let value = figure(estimate.value);
    if estimate.confidence <= 0.0 || !half.is_finite() {
        value
    } else if (above - below).abs() <= SYMMETRIC_WITHIN * half.abs().max(1e-9) {
        format!("{value} ± {}", figure(half))
    } else {
        format!("{value} ({} to {})", figure(estimate.low), figure(estimate.high))
    }
}

/// Whole from 10 on, one decimal below.
fn plain(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 && size >= 0.05 { "-" } else { "" };
    if size < 0.05 {
        "0".to_owned()
    } else if size < 9.95 && (size - size.round()).abs() >= 0.05 {
        format!("{sign}{size:.1}")
    } else {
        format!("{sign}{}", count(size.round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low: f64, value: f64, high: f64) -> Estimate {
        Estimate { value, low, high, confidence: 0.95, operation: String::new() }
    }

    #[test]
    fn what_was_only_counted_is_told_in_objects() {
        let counted = SiteVerdict {
            kind: Kind::Timer,
            objects_per_op: Some(between(0.98, 1.0, 1.02)),
            live_objects: Some(3_000),
            ..SiteVerdict::default()
        };
        assert_eq!(live(&counted), "3,000 timers");
        let weighed =
            SiteVerdict { growth_per_op: between(900.0, 1_000.0, 1_100.0), ..counted.clone() };
        assert_eq!(live(&weighed), "0 B");
    }

    #[test]
    fn figures_read_as_a_person_would_write_them() {
        let table: &[(String, &str)] = &[
            (count(0), "0"),
            (count(999), "999"),
            (count(1_000), "1,000"),
            (count(1_234_567), "1,234,567"),
            (number(0.0), "0"),
            (number(0.0344), "0.034"),
            (number(1.0), "1.00"),
            (number(-12.34), "-12.3"),
            (number(99.97), "100"),
            (number(f64::NAN), "unknown"),
            (bytes(0.0), "0 B"),
            (bytes(1_024.0), "1,024 B"),
            (bytes(-9_000.0), "-9,000 B"),
            (bytes(65_536.0), "64.0 KiB"),
            (bytes(13_002_342.0), "12.4 MiB"),
            (bytes(-300_000_000.0), "-286 MiB"),
            (bytes_change(13_002_342.0), "+12.4 MiB"),
            (bytes_change(-500.0), "-500 B"),
            (millis(0.123), "0.12 ms"),
            (millis(999.7), "1.00 s"),
            (millis(12_345.0), "12.3 s"),
            (duration(1_234.0), "1.2 s"),
            (duration(102_000.0), "1 min 42 s"),
            (duration(7_500_000.0), "2 h 05 min"),
            (percent(0.0), "0 %"),
            (percent(1.0), "100 %"),
            (percent(0.000_01), "< 0.01 %"),
            (percent(0.999_999), "> 99.99 %"),
            (percent(0.981_6), "98.2 %"),
            (percent(0.991_6), "99.16 %"),
        ];
        for (seen, expected) in table {
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696_000, "2000-02-29 12:34:56 UTC"),
            (1_767_225_599_999, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ];
        for (ms, expected) in table {
            assert_eq!(utc(ms), expected);
        }
    }

    #[test]
    fn an_interval_is_written_with_plus_minus_only_when_its_sides_agree() {
        let table: &[(Estimate, &str)] = &[
            (between(1_004.0, 1_024.0, 1_044.0), "1,024 ± 20 B"),
            (between(900.0, 1_024.0, 1_300.0), "1,024 (900 to 1,300) B"),
            (between(-3.4, 0.3, 4.0), "0.3 ± 3.7 B"),
            (Estimate { value: 12.0, ..Estimate::default() }, "12 B"),
            (between(5.0, 5.0, 5.0), "5 ± 0 B"),
        ];
        for (seen, expected) in table {
            assert_eq!(estimate_bytes(seen), *expected);
        }
        assert_eq!(estimate(&between(0.98, 1.0, 1.02)), "1.00 ± 0.020");
    }
}
