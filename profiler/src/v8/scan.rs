//! A scanner for JSON too large to hold: one pass over a reader, nothing kept but a window.
//!
//! In: a reader, and what its caller expects next. Out: numbers, strings, and an error with the
//! place in the file where the text is something else. No recursion: what is skipped is counted
//! by depth. The meaning of keys is left to the caller.
//!
//! Source: RFC 8259; of numbers only those that V8 writes into snapshots, whole ones.

use super::row::whole_rows;
use std::fmt;
use std::io::Read;

/// Bytes read at once: enough that a read costs nothing, few enough for a core's cache.
const WINDOW: usize = 256 * 1024;

/// Bytes of one string: V8's own limit is 512 MiB; snapshots cut theirs at 1,024 characters.
const STRING_MAX: usize = 16 << 20;

/// Digits of a number that fit 64 bits whatever they are.
const DIGITS_SAFE: usize = 19;

/// Nesting of what is skipped. Snapshots nest as deep as a call tree.
const DEPTH_MAX: usize = 100_000;

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(crate) struct ScanError {
    /// Bytes before it.
    pub(crate) at: u64,
    /// What is wrong.
    pub(crate) reason: String,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.reason)
    }
}

/// Characters of a file's own words that an error repeats.
const REPEATED_MAX: usize = 80;

/// A file's own words as an error may repeat them: in part, and without power over a terminal.
pub(crate) fn repeated(words: &str) -> String {
    let mut shown = String::new();
    let mut room = REPEATED_MAX;
    for c in words.chars() {
        let width = if c.is_control() { c.escape_default().len() } else { 1 };
        let Some(left) = room.checked_sub(width) else {
            shown.push('…');
            break;
        };
        room = left;
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

type Scan<T> = Result<T, ScanError>;

/// The text as far as it has been looked at.
pub(crate) struct Scanner<R> {
    reader: R,
    window: Vec<u8>,
    place: usize,
    end: usize,
    /// Bytes before the window.
    before: u64,
}

impl<R: Read> Scanner<R> {
    /// A scanner at the begin of a text.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, window: vec![0; WINDOW], place: 0, end: 0, before: 0 }
    }

    /// An error at this place.
    pub(crate) fn error(&self, reason: impl Into<String>) -> ScanError {
        ScanError { at: self.before + self.place as u64, reason: reason.into() }
    }

    /// Reads the next window; false at the end of the text.
    #[cold]
    fn refill(&mut self) -> Scan<bool> {
        self.before += self.end as u64;
        (self.place, self.end) = (0, 0);
        loop {
            match self.reader.read(&mut self.window) {
                Ok(read) => {
                    self.end = read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(format!("it cannot be read: {error}"))),
            }
        }
    }

    /// The next byte, which stays.
    #[inline]
    fn peek(&mut self) -> Scan<u8> {
        if self.place == self.end && !self.refill()? {
            return Err(self.error("the file ends here: it was cut off while it was written"));
        }
        Ok(self.window[self.place])
    }

    #[inline]
    fn next(&mut self) -> Scan<u8> {
        let byte = self.peek()?;
        self.place += 1;
        Ok(byte)
    }

    /// The next byte that is no white space, which stays.
    #[inline]
    pub(crate) fn look(&mut self) -> Scan<u8> {
        loop {
            let byte = self.peek()?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.place += 1;
        }
    }

    /// Takes a byte that must come next.
    ///
    /// # Errors
    /// When another one comes.
    pub(crate) fn expect(&mut self, wanted: u8) -> Scan<()> {
        let byte = self.look()?;
        if byte != wanted {
            let (wanted, found) = (char::from(wanted), char::from(byte).escape_default());
            return Err(self.error(format!("`{wanted}` was expected and `{found}` is there")));
        }
        self.place += 1;
        Ok(())
    }

    /// Takes a byte if it comes next.
    ///
    /// # Errors
    /// At the end of the text.
    pub(crate) fn accept(&mut self, wanted: u8) -> Scan<bool> {
        let found = self.look()? == wanted;
        self.place += usize::from(found);
        Ok(found)
    }

    /// Calls `take` with each number of an array of whole numbers.
    ///
    /// # Errors
    /// Where the text is no such array, and what `take` refuses.
    pub(crate) fn numbers(&mut self, mut take: impl FnMut(u64) -> Result<(), String>) -> Scan<()> {
        self.expect(b'[')?;
        if self.accept(b']')? {
            return Ok(());
        }
        loop {
            let number = self.number()?;
            take(number).map_err(|reason| self.error(reason))?;
            // The common case: a comma at once.
            match self.peek()? {
                b',' => self.place += 1,
                _ if self.accept(b',')? => {}
                _ => return self.expect(b']'),
            }
        }
    }

    /// Calls `take` with each `width` numbers of an array of whole numbers; false when the last
    /// ones are fewer. `width` is 1 at least.
    ///
    /// # Errors
    /// Where the text is no such array, and what `take` refuses.
    pub(crate) fn rows(
        &mut self,
        width: usize,
        mut take: impl FnMut(&[u64]) -> Result<(), String>,
    ) -> Scan<bool> {
        self.expect(b'[')?;
        if self.accept(b']')? {
            return Ok(true);
        }
        let mut row = vec![0_u64; width];
        loop {
            let text = &self.window[..self.end];
            whole_rows(text, &mut self.place, &mut row, &mut take)
                .map_err(|reason| self.error(reason))?;
            // At the end of the window or of the array, or written otherwise than V8 does.
            let mut ended = None;
            for (place, slot) in row.iter_mut().enumerate() {
                *slot = self.number()?;
                if !self.accept(b',')? {
                    self.expect(b']')?;
                    ended = Some(place + 1);
                    break;
                }
            }
            if ended.is_some_and(|filled| filled < width) {
                return Ok(false);
            }
            take(&row).map_err(|reason| self.error(reason))?;
            if ended.is_some() {
                return Ok(true);
            }
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// When there is none, or one beyond 64 bits.
    #[inline]
    pub(crate) fn number(&mut self) -> Scan<u64> {
        // The common case: the number and what ends it lie in the window.
        let mut value = 0_u64;
        let rest = &self.window[self.place..self.end];
        for (digits, byte) in rest.iter().take(DIGITS_SAFE + 1).enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                if digits == 0 {
                    break;
                }
                self.place += digits;
                return Ok(value);
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        self.any_number()
    }

    /// The same wherever it lies, and however long it is.
    #[cold]
    fn any_number(&mut self) -> Scan<u64> {
        let mut value = u64::from(self.look()?.wrapping_sub(b'0'));
        if value > 9 {
            return Err(self.error("a whole number was expected"));
        }
        self.place += 1;
        loop {
            let digit = self.peek()?.wrapping_sub(b'0');
            if digit > 9 {
                return Ok(value);
            }
            self.place += 1;
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit)))
                .ok_or_else(|| self.error("a number has more than 64 bits"))?;
        }
    }

    /// A number that may be negative; a fraction is cut off.
    ///
    /// # Errors
    /// When there is none, or one beyond 63 bits.
    pub(crate) fn signed(&mut self) -> Scan<i64> {
        let negative = self.accept(b'-')?;
        let value = self.number()?;
        if self.peek()? == b'.' {
            self.place += 1;
            while self.peek()?.is_ascii_digit() {
                self.place += 1;
            }
        }
        let value = i64::try_from(value).map_err(|_| self.error("a number has 64 bits"))?;
        Ok(if negative { -value } else { value })
    }

    /// Appends a string to `out`, escapes resolved. Half a pair of surrogates becomes U+FFFD.
    ///
    /// # Errors
    /// When there is none, or it has no end or an unknown escape.
    pub(crate) fn string(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        self.expect(b'"')?;
        let begin = out.len();
        loop {
            self.peek()?;
            let rest = &self.window[self.place..self.end];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let plain = plain.unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            self.place += plain;
            if out.len() - begin > STRING_MAX {
                return Err(self.error(format!("a string has more than {STRING_MAX} bytes")));
            }
            if plain == rest.len() {
                continue;
            }
            if self.next()? == b'"' {
                return Ok(());
            }
            self.escape(out)?;
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        let byte = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let letter = self.unicode()?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("an unknown escape in a string")),
        };
        out.push(byte);
        Ok(())
    }

    fn unicode(&mut self) -> Scan<char> {
        let first = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&first) || self.peek()? != b'\\' {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.place += 1;
        if self.next()? != b'u' {
            return Err(self.error("half a surrogate pair is followed by another escape"));
        }
        let second = self.four_digits()?;
        let low = second.wrapping_sub(0xDC00);
        let joined = (low < 0x400).then(|| 0x1_0000 + ((first - 0xD800) << 10) + low);
        Ok(joined.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Scan<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16);
            let digit = digit.ok_or_else(|| self.error("four hexadecimal digits were expected"))?;
            value = value * 16 + digit;
        }
        Ok(value)
    }

    /// Copies one value as it stands, for values that are small and looked at as a whole.
    ///
    /// # Errors
    /// At the end of the text, or when it has more than `limit` bytes.
    pub(crate) fn copy(&mut self, out: &mut Vec<u8>, limit: usize) -> Scan<()> {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        self.look()?;
        loop {
            let byte = self.next()?;
            out.push(byte);
            if out.len() > limit {
                return Err(self.error(format!("a value has more than {limit} bytes")));
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                b'[' | b'{' if !quoted => depth += 1,
                b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && !quoted {
                return Ok(());
            }
        }
    }

    /// Passes over one value, whatever it is.
    ///
    /// # Errors
    /// At the end of the text, or when it is nested too deep.
    pub(crate) fn skip(&mut self) -> Scan<()> {
        let mut depth = 0_usize;
        let mut ignored = Vec::new();
        loop {
            match self.look()? {
                b'"' => {
                    ignored.clear();
                    self.string(&mut ignored)?;
                }
                b'[' | b'{' => {
                    self.place += 1;
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(self.error(format!("nested more than {DEPTH_MAX} deep")));
                    }
                }
                b']' | b'}' if depth > 0 => {
                    self.place += 1;
                    depth -= 1;
                }
                b',' | b':' if depth > 0 => {
                    self.place += 1;
                    continue;
                }
                b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => self.word()?,
                other => {
                    let found = char::from(other).escape_default();
                    return Err(self.error(format!("a value was expected and `{found}` is there")));
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn word(&mut self) -> Scan<()> {
        while matches!(self.peek()?, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') {
            self.place += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Scanner;
    use std::io::Read;

    fn rows_of(text: &str, window_ends: usize) -> Vec<u64> {
        let (head, tail) = text.as_bytes().split_at(window_ends);
        let mut rows = Vec::new();
        let taken = Scanner::new(head.chain(tail)).rows(3, |row| {
            rows.extend_from_slice(row);
            Ok(())
        });
        assert!(taken.unwrap(), "{text}");
        rows
    }

    #[test]
    fn rows_are_the_same_whole_and_number_by_number_wherever_a_window_ends() {
        let mut state = 1_u64;
        let numbers = (0..60).map(|at| {
            // Knuth's generator of 64 bits; from one digit to nineteen.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
            state % 10_u64.pow(1 + at * 7 % 19)
        });
        let numbers: Vec<u64> = numbers.collect();
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let lines: Vec<String> = words.chunks(3).map(|row| row.join(",")).collect();
        // As V8 writes it, and with spaces, which the quick way leaves to the slow one.
        for text in [format!("[{}\n]", lines.join("\n,")), format!("[ {}]", words.join(", "))] {
            for window_ends in 0..text.len() {
                assert_eq!(rows_of(&text, window_ends), numbers, "{window_ends}: {text}");
            }
        }
    }
}
