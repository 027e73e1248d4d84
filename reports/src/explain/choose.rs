//! The site that a person means: by its row, by the start of its id, or by a part of its
//! function. In: what was typed. Out: the place of the site, or what might have been meant.
//! A row counts in the whole list, whatever part of it was shown.

use crate::finding::place;
use crate::shell::clean;
use ebbtide_record::verdict::SiteVerdict;
use std::fmt;

/// Sites named when none or several were meant.
const NAMED_MAX: usize = 8;
/// Fewer characters of an id would match too much by chance, and could be a row.
const ID_PREFIX_MIN: usize = 4;

/// Why no site was chosen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotChosen {
    /// Several sites go by that: the sites that do, at most a few, and how many there are.
    Several(String, Vec<String>, usize),
    /// None does: those that are nearest.
    Nothing(String, Vec<String>),
    /// There is no site at all.
    Empty,
}

impl fmt::Display for NotChosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Several(text, sites, count) => {
                write!(f, "`{text}` means {count} sites: take a row number or more of the name")?;
                sites.iter().try_for_each(|site| write!(f, "\n  {site}"))?;
                match count - sites.len() {
                    0 => Ok(()),
                    more => write!(f, "\n  and {more} more"),
                }
            }
            Self::Nothing(text, sites) => {
                write!(f, "no site goes by `{text}`; did you mean one of these?")?;
                sites.iter().try_for_each(|site| write!(f, "\n  {site}"))
            }
            Self::Empty => f.write_str("no site was judged, so there is none to explain"),
        }
    }
}

/// The place in `sites` of the one that `text` means: a row from 1, the start of an id, a whole
/// name, or a part of a function or file. Letters are compared without case.
///
/// # Errors
///
/// [`NotChosen`], with the sites that were or may have been meant.
pub fn choose(sites: &[SiteVerdict], text: &str) -> Result<usize, NotChosen> {
    if sites.is_empty() {
        return Err(NotChosen::Empty);
    }
    let text = text.trim();
    if let Ok(row) = text.trim_start_matches('#').parse::<usize>()
        && (1..=sites.len()).contains(&row)
    {
        return Ok(row - 1);
    }
    let wanted = text.to_lowercase();
    let of_id = |site: &SiteVerdict| {
        wanted.len() >= ID_PREFIX_MIN && site.id.to_lowercase().starts_with(&wanted)
    };
    let whole = |site: &SiteVerdict| site.function.to_lowercase() == wanted;
    let named = |site: &SiteVerdict| {
        let place = place(&site.function, &site.file, site.line).to_lowercase();
        !wanted.is_empty() && place.contains(&wanted)
    };
    let ways: [&dyn Fn(&SiteVerdict) -> bool; 3] = [&of_id, &whole, &named];
    for fits in ways {
        let found: Vec<usize> = (0..sites.len()).filter(|at| fits(&sites[*at])).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => {
                let told = several.iter().take(NAMED_MAX).map(|at| told(*at, &sites[*at]));
                return Err(NotChosen::Several(text.to_owned(), told.collect(), several.len()));
            }
        }
    }
    Err(NotChosen::Nothing(text.to_owned(), nearest(sites, &wanted)))
}

/// A site as it is offered: `3  hub::subscribe (server/src/hub.rs:62), leaking`.
fn told(at: usize, site: &SiteVerdict) -> String {
    let place = clean(&place(&site.function, &site.file, site.line));
    format!("{}  {place}, {}", at + 1, site.verdict)
}

/// The sites whose names share most with what was typed; where none shares anything, the first.
fn nearest(sites: &[SiteVerdict], wanted: &str) -> Vec<String> {
    let mut scored: Vec<(f64, usize)> = sites
        .iter()
        .enumerate()
        .map(|(at, site)| (likeness(&site.function.to_lowercase(), wanted), at))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.iter().take(NAMED_MAX / 2).map(|(_, at)| told(*at, &sites[*at])).collect()
}

/// Share of the letter pairs of `wanted` that `name` has too (Dice's idea, without its symmetry:
/// what was typed is short, and names are long).
fn likeness(name: &str, wanted: &str) -> f64 {
    let pairs =
        |text: &str| -> Vec<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
    let (there, asked) = (pairs(name), pairs(wanted));
    let shared = asked.iter().filter(|pair| there.contains(pair)).count();
    shared as f64 / asked.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Vec<SiteVerdict> {
        let site = |id: &str, function: &str, file: &str| SiteVerdict {
            id: id.to_owned(),
            function: function.to_owned(),
            file: file.to_owned(),
            line: 7,
            ..SiteVerdict::default()
        };
        vec![
            site("00aa11", "hub::Hub::subscribe", "src/hub.rs"),
            site("00ab22", "hub::Hub::publish", "src/hub.rs"),
            site("12345", "insert", "src/map.rs"),
            site("ff0033", "Sessions::insert", "src/session.rs"),
        ]
    }

    #[test]
    fn a_site_goes_by_its_row_its_id_and_its_name() {
        for (text, at) in [
            ("1", 0),
            ("#4", 3),
            ("00ab", 1),
            ("12345", 2),
            ("subscribe", 0),
            ("SESSION.RS", 3),
            ("insert", 2),
            ("hub.rs:7)", usize::MAX),
        ] {
            assert_eq!(choose(&sites(), text).ok(), (at != usize::MAX).then_some(at), "{text}");
        }
    }

    #[test]
    fn who_is_not_clear_is_told_what_there_is() {
        let several = choose(&sites(), "hub").expect_err("two").to_string();
        assert!(several.contains("means 2 sites"), "{several}");
        assert!(several.contains("\n  2  hub::Hub::publish (src/hub.rs:7), not_watched"));
        let nothing = choose(&sites(), "subscirbe").expect_err("a slip").to_string();
        assert!(
            nothing.contains("did you mean one of these?\n  1  hub::Hub::subscribe"),
            "{nothing}"
        );
        for text in ["0", "5", "", "00"] {
            assert!(choose(&sites(), text).is_err(), "{text}");
        }
        assert_eq!(choose(&[], "1"), Err(NotChosen::Empty));
    }
}
