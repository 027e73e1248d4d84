//! Faults of a scenario with a picture of their place: the line, and marks under what is wrong.
//! In: the faults and the text they are in. Out: text for a terminal or a log. What is wrong, and
//! its cure, is said by `loadgen`.

use ebbtide_loadgen::Faults;
use ebbtide_loadgen::fault::{FAULTS_MAX, Fault};
use std::fmt::Write as _;

/// Characters of a line that are shown at most: the place stays in view.
const SHOWN_MAX: usize = 120;

/// Characters shown before the place when a line is too long.
const BEFORE: usize = 40;

/// All faults, each with its place.
pub(crate) fn of(faults: &Faults, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for fault in faults.list.iter().take(FAULTS_MAX) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&place(fault));
        if let Some(line) = fault.line.checked_sub(1).and_then(|at| lines.get(at)) {
            picture(&mut out, fault, line);
        }
    }
    if faults.list.len() > FAULTS_MAX {
        let _ = write!(out, "\n... and {} more", faults.list.len() - FAULTS_MAX);
    }
    out
}

/// `file:line:column: what`, as tools take it that jump to places.
fn place(fault: &Fault) -> String {
    let said = fault.to_string();
    let without = format!("{}:{}:", fault.file, fault.line);
    match said.strip_prefix(&without) {
        Some(rest) if fault.column > 0 => format!("{without}{}:{rest}", fault.column),
        _ => said,
    }
}

fn picture(out: &mut String, fault: &Fault, line: &str) {
    let chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let at = fault.column.saturating_sub(1).min(chars.len());
    let start = if chars.len() > SHOWN_MAX { at.saturating_sub(BEFORE) } else { 0 };
    let shown: String = chars[start..].iter().take(SHOWN_MAX).collect();
    let number = fault.line.to_string();
    let margin = " ".repeat(number.len());
    let _ = write!(out, "\n  {number} | {}", shown.trim_end());
    if fault.column > 0 {
        let marks = "^".repeat(length(&chars[at..]).min(SHOWN_MAX));
        let _ = write!(out, "\n  {margin} | {}{marks}", " ".repeat(at - start));
    }
}

/// Length of the word, the string or the list that begins here; at least 1.
fn length(chars: &[char]) -> usize {
    let end = match chars.first() {
        Some(quote @ ('"' | '\'')) => {
            chars.iter().skip(1).position(|c| c == quote).map(|place| place + 2)
        }
        Some('{' | '[') => return 1,
        _ => chars.iter().position(|c| c.is_whitespace() || "=,]}".contains(*c)),
    };
    end.unwrap_or(chars.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_loadgen::Scenario;

    #[test]
    fn faults_are_marked_in_their_lines() {
        let text = "schema = 1\n[target]\nbas = \"x\"\nbase = 7\n[flow.a]\nexecutor = \
                    \"constant-vus\"\nvus = 1\nduration = \"soon\"\nsteps = [{ gte = \"/ä\" }]\n";
        let faults = Scenario::parse(text, "a.toml").unwrap_err();
        let picture = of(&faults, text);
        for part in [
            "a.toml:3:1: `target`: unknown key `bas`",
            "\n  3 | bas = \"x\"\n    | ^^^",
            "\n  4 | base = 7\n    |        ^",
            "\n  8 | duration = \"soon\"\n    |            ^^^^^^",
            "\n  9 | steps = [{ gte = \"/ä\" }]\n    |          ^",
        ] {
            assert!(picture.contains(part), "`{part}` is not in:\n{picture}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("[flow.a]\nx = {}\n", "\"y\"".to_owned() + &" ".repeat(300));
        let text = format!("a = [{}nonsense]\n{text}", "1, ".repeat(200));
        let faults = Scenario::parse(&text, "a.toml").unwrap_err();
        for line in of(&faults, &text).lines().filter(|line| line.contains(" | ")) {
            assert!(line.chars().count() <= SHOWN_MAX + 8, "{line}");
        }
    }
}
