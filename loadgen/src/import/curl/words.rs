//! A command line split into words as bash does it: single and double quotes, `$'...'`,
//! backslashes, lines that go on. Pure.
//!
//! In: the text. Out: its words. Variables, globs and substitutions stay as they are written: what
//! is copied from a browser has none.

use crate::import::ImportError;
use std::iter::Peekable;
use std::str::Chars;

/// Splits the line.
pub(super) fn split(line: &str) -> Result<Vec<String>, ImportError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            // What follows is another command.
            ';' | '|' | '&' if word.is_none() => break,
            '\'' => quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                ansi(&mut chars, word.get_or_insert_default())?;
            }
            '\\' => {
                // A line that goes on; Windows adds its own end of line.
                if chars.peek() == Some(&'\r') {
                    chars.next();
                }
                match chars.next() {
                    Some('\n') | None => {}
                    Some(c) => word.get_or_insert_default().push(c),
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn unclosed(quote: &str) -> ImportError {
    ImportError::new(format!("a quote ({quote}) is not closed: copy the whole command"))
}

fn quoted(chars: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), ImportError> {
    for c in chars {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err(unclosed("'"))
}

fn double(chars: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), ImportError> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => {
                    word.push('\\');
                    word.push(c);
                }
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(unclosed("\""))
}

/// `$'...'`, with the escapes of C.
fn ansi(chars: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), ImportError> {
    while let Some(c) = chars.next() {
        match c {
            '\'' => return Ok(()),
            '\\' => match chars.next() {
                Some('n') => word.push('\n'),
                Some('r') => word.push('\r'),
                Some('t') => word.push('\t'),
                Some('a') => word.push('\u{7}'),
                Some('b') => word.push('\u{8}'),
                Some('e' | 'E') => word.push('\u{1b}'),
                Some('f') => word.push('\u{c}'),
                Some('v') => word.push('\u{b}'),
                Some('x') => word.extend(number(chars, 2, 16)),
                Some('u') => word.extend(number(chars, 4, 16)),
                Some('U') => word.extend(number(chars, 8, 16)),
                Some(c) => word.push(c),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(unclosed("$'"))
}

/// The character of a number of at most `most` digits.
fn number(chars: &mut Peekable<Chars<'_>>, most: usize, radix: u32) -> Option<char> {
    let mut value = 0;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
        chars.next();
        value = value * radix + digit;
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_those_of_bash() {
        let table: [(&str, &[&str]); 9] = [
            ("a  b\tc", &["a", "b", "c"]),
            ("'a b' \"c d\" e\\ f", &["a b", "c d", "e f"]),
            (r#""a \" \\ \$x \n" 'b \n'"#, &["a \" \\ $x \\n", "b \\n"]),
            (r"$'it\'s \u0041\x42\n'", &["it's AB\n"]),
            ("a \\\n  b \\\r\n c", &["a", "b", "c"]),
            ("'a'\"b\"c''", &["abc"]),
            ("'' x", &["", "x"]),
            ("curl a | jq .", &["curl", "a"]),
            ("http://a/?x=1&y=2", &["http://a/?x=1&y=2"]),
        ];
        for (line, words) in table {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for line in ["'a", "\"a", "$'a", "\"a\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
