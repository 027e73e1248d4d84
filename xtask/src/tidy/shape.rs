//! The shape of a Rust file: its head, its length, its columns, the length of its functions.
//!
//! Comes in: one source. Goes out: findings. Lines of code are lines with a token on them outside
//! tests: comments, documentation and blank lines are free.

use super::Finding;
use super::source::{Kind, Source, Token};
use std::collections::BTreeSet;

/// A head says duty, in, out and what is left to others: too short says nothing, too long is
/// documentation that belongs to the items.
const HEAD_LINES: std::ops::RangeInclusive<usize> = 3..=8;
/// A file is read in one sitting below this.
const FILE_CODE_LINES: usize = 500;
/// A function is seen at once below this.
const FUNCTION_CODE_LINES: usize = 70;
/// Two files fit side by side.
const COLUMNS: usize = 100;

/// Checks head, sizes and columns.
pub(super) fn check(source: &Source, findings: &mut Vec<Finding>) {
    let path = &source.path;
    let head = head_lines(&source.text);
    if !HEAD_LINES.contains(&head) {
        findings.push(Finding::new(
            path,
            1,
            format!("the head has {head} `//!` lines"),
            "say duty, in, out and what is left to others in 3 to 8 lines",
        ));
    }
    for (index, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS && !line.contains("://") {
            let what = format!("{columns} columns");
            findings.push(Finding::new(path, index + 1, what, "break the line below 100"));
        }
    }
    let lines = code_lines(source.tokens.iter().filter(|token| !token.in_test));
    if lines >= FILE_CODE_LINES {
        let what = format!("{lines} lines of code");
        findings.push(Finding::new(path, 1, what, "cut the file by duty below 500"));
    }
    check_functions(source, findings);
}

/// In a line, how much Rust there is and how much of it is comment: between 15 and 20 % reads
/// well. Nothing fails by it.
pub(super) fn measure<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let (mut count, mut lines, mut comments) = (0, 0, 0);
    for (_, text) in files {
        count += 1;
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            lines += 1;
            comments += usize::from(line.starts_with("//"));
        }
    }
    let share = 100 * comments / lines.max(1);
    format!("{count} Rust files, {lines} lines without blank ones, {share} % of them comments")
}

/// The lines of the head; an example in it is free.
fn head_lines(text: &str) -> usize {
    let mut count = 0;
    let mut in_example = false;
    for line in text.lines().take_while(|line| line.starts_with("//!")) {
        let fence = line.starts_with("//! ```");
        count += usize::from(!fence && !in_example);
        in_example ^= fence;
    }
    count
}

/// Functions by their lines of code, from `fn` to the closing brace.
fn check_functions(source: &Source, findings: &mut Vec<Finding>) {
    for (index, two) in source.tokens.windows(2).enumerate() {
        let (true, Some(name)) = (two[0].is_word("fn"), two[1].word()) else { continue };
        if two[0].in_test {
            continue;
        }
        let end = source.end_of_item(index);
        let lines = code_lines(source.tokens[index..=end].iter());
        if lines >= FUNCTION_CODE_LINES {
            let what = format!("`{name}` has {lines} lines of code");
            let cure = "name its steps as functions, each below 70";
            findings.push(Finding::new(&source.path, two[0].line, what, cure));
        }
    }
}

/// How many lines have a token on them; a text counts with all its lines.
fn code_lines<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    let mut lines = BTreeSet::new();
    for token in tokens {
        match token.kind {
            Kind::Text(_) => lines.extend(token.line..=token.last_line),
            _ => lines.extend([token.line]),
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings_of;

    const HEAD: &str = "//! A.\n//! B.\n//! C.\n";

    fn findings(text: &str) -> Vec<String> {
        findings_of(&[("a/src/b.rs", text)], |sources, out| check(&sources[0], out))
    }

    #[test]
    fn what_is_too_small_or_too_large_is_found() {
        let with_head = |body: &str| format!("{HEAD}{body}");
        let lines = |count: usize| "    let _ = 1;\n".repeat(count);
        let cases = [
            ("//! A.\n//! B.\nfn a() {}\n".to_owned(), "the head has 2"),
            ("fn a() {}\n".to_owned(), "the head has 0"),
            (format!("{HEAD}{HEAD}{HEAD}fn a() {{}}\n"), "the head has 9"),
            (with_head(&format!("// {}\n", "x".repeat(98))), "101 columns"),
            (with_head(&format!("fn a() {{\n{}}}\n", lines(68))), "`a` has 70 lines"),
            (with_head(&"const A: u8 = 1;\n".repeat(500)), "500 lines of code"),
            (with_head(&format!("const A: &str = \"{}\";\n", "\n".repeat(499))), "500 lines of"),
        ];
        for (text, expected) in cases {
            let found = findings(&text);
            assert!(
                found.iter().any(|finding| finding.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn comments_are_measured() {
        let files = [("a.rs", "//! A.\n\n    /// B.\nfn a() {}\n"), ("b.rs", "fn b() {}\n")];
        let expected = "2 Rust files, 4 lines without blank ones, 50 % of them comments";
        assert_eq!(measure(files.into_iter()), expected);
    }

    #[test]
    fn what_fits_is_left_alone() {
        let comment = "// why\n\n/// Doc.\n".repeat(300);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(600));
        let long_test = format!("#[test]\nfn a() {{\n{}}}\n", "    let _ = 1;\n".repeat(80));
        let link = format!("// https://example.org/{}\n", "x".repeat(100));
        let body = format!("fn a() {{\n{}}}\n", "    let _ = 1;\n".repeat(67));
        let example = format!("//! ```\n{}//! ```\n", "//! let a = 1;\n".repeat(9));
        for text in [format!("{comment}const A: u8 = 1;\n"), tests, long_test, link, body, example]
        {
            assert_eq!(findings(&format!("{HEAD}{text}")), Vec::<String>::new());
        }
    }
}
