//! Quantities as text: durations (`250ms`, `1m30s`), ranges of them, sizes (`64KiB`). Pure.
//!
//! In: text. Out: values, or what is wrong with the text and how to write it.

use super::Span;
use std::time::Duration;

/// A duration longer than a year is a slip of the pen, and would overflow what is built on it.
const DURATION_MAX_S: f64 = 366.0 * 86_400.0;

/// Parses `250ms`, `1.5s`, `1m30s`, `2h`.
///
/// # Errors
/// The text and examples of what is allowed.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad =
        || format!("`{text}` is not a duration (write `250ms`, `30s`, `5m`, `1h30m` or `0s`)");
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..letters] {
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return Err(bad()),
            };
        rest = &rest[letters..];
    }
    if seconds > DURATION_MAX_S {
        return Err(format!("`{text}` is longer than a year (check its unit)"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parses a duration, or a range `1s..3s`.
///
/// # Errors
/// The text and examples of what is allowed.
pub fn span(text: &str) -> Result<Span, String> {
    let Some((low, high)) = text.split_once("..") else {
        let length = duration(text)?;
        return Ok(Span { low: length, high: length });
    };
    let span = Span { low: duration(low)?, high: duration(high)? };
    if span.low > span.high {
        return Err(format!("`{text}` is an empty range (write the shorter end first)"));
    }
    Ok(span)
}

/// Parses `512`, `512B`, `64KiB`, `50MB`, `1.5GiB` into bytes.
///
/// # Errors
/// The text and examples of what is allowed.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size (write `512B`, `64KiB` or `50MB`)");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let number: f64 = trimmed[..digits].parse().map_err(|_| bad())?;
    let factor = match trimmed[digits..].trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad()),
    };
    Ok((number * factor).round() as u64)
}
