//! Values that a template makes up: random text, a choice, a count, a time of day. Pure.
//!
//! In: the inside of a `${...}`. Out: a [`Made`], which writes its value from a [`Scope`]. Like all
//! else in a template a value follows from the seed, the input round, the user and the iteration.

use super::{Escape, Scope, now_ms, write_escaped, write_number};
use std::io::Write;

/// Characters of a random text at most: longer ones are bodies, which a file serves better.
const LENGTH_MAX: u64 = 65_536;

/// What random text is made of.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A value that is made up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Made {
    /// So many random letters and digits.
    Text(u64),
    /// So many random hexadecimal digits.
    Hex(u64),
    /// One of these, each as likely.
    Pick(Vec<String>),
    /// How often it was written in this iteration, from a start.
    Counter {
        /// Its name.
        name: String,
        /// What its count is kept under.
        key: u64,
        /// The first value.
        start: u64,
    },
    /// `now` as RFC 3339 has it: `2026-01-01T00:00:00.000Z`.
    NowIso,
}

impl Made {
    /// The value that a name stands for; none when it is another's.
    pub(super) fn parse(name: &str) -> Option<Result<Self, String>> {
        if name == "now_iso" {
            return Some(Ok(Self::NowIso));
        }
        let (function, rest) = name.split_once('(')?;
        let parse = match function {
            "random_string" => |inside: &str| length(inside).map(Self::Text),
            "random_hex" => |inside: &str| length(inside).map(Self::Hex),
            "pick" => pick,
            "counter" => counter,
            _ => return None,
        };
        let made = rest.strip_suffix(')').and_then(parse);
        Some(made.ok_or_else(|| {
            let form = match function {
                "pick" => "`pick(a|b|c)` with two words or more".to_owned(),
                "counter" => "`counter(name)` or `counter(name,start)`".to_owned(),
                _ => format!("`{function}(n)` with a length from 1 to {LENGTH_MAX}"),
            };
            format!("`${{{name}}}` is not {form}")
        }))
    }

    pub(super) fn written(&self) -> String {
        match self {
            Self::Text(length) => format!("${{random_string({length})}}"),
            Self::Hex(length) => format!("${{random_hex({length})}}"),
            Self::Pick(words) => format!("${{pick({})}}", words.join("|")),
            Self::Counter { name, start: 0, .. } => format!("${{counter({name})}}"),
            Self::Counter { name, start, .. } => format!("${{counter({name},{start})}}"),
            Self::NowIso => "${now_iso}".to_owned(),
        }
    }

    pub(super) fn render(&self, out: &mut Vec<u8>, scope: &mut Scope, escape: Escape) {
        match self {
            Self::Text(length) => {
                let count = LETTERS.len() as u64;
                for _ in 0..*length {
                    out.push(LETTERS[scope.below(count) as usize]);
                }
            }
            Self::Hex(length) => {
                for _ in 0..*length {
                    out.push(b"0123456789abcdef"[scope.below(16) as usize]);
                }
            }
            Self::Pick(words) => {
                let chosen = scope.below(words.len() as u64) as usize;
                write_escaped(out, &words[chosen], escape);
            }
            Self::Counter { key, start, .. } => write_number(out, start + scope.count(*key)),
            Self::NowIso => write_time(out, now_ms(scope)),
        }
    }
}

fn length(inside: &str) -> Option<u64> {
    inside.trim().parse().ok().filter(|length| (1..=LENGTH_MAX).contains(length))
}

fn pick(inside: &str) -> Option<Made> {
    let words: Vec<String> = inside.split('|').map(|word| word.trim().to_owned()).collect();
    (words.len() > 1).then_some(Made::Pick(words))
}

fn counter(inside: &str) -> Option<Made> {
    let (name, start) = match inside.split_once(',') {
        Some((name, start)) => (name.trim(), start.trim().parse().ok()?),
        None => (inside.trim(), 0),
    };
    // FNV-1a: names of one flow are few, and a collision of two of them is not to be feared.
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (!name.is_empty()).then(|| Made::Counter { name: name.to_owned(), key, start })
}

/// Writes Unix milliseconds as RFC 3339 has them. The date is that of the proleptic Gregorian
/// calendar, by Howard Hinnant's `civil_from_days`.
fn write_time(out: &mut Vec<u8>, unix_ms: u64) {
    let (seconds, millis) = (unix_ms / 1_000, unix_ms % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    // Writing to a vector cannot fail.
    let _ =
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, unix_ms);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
