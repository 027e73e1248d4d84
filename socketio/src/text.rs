//! Text that is shared: bytes known to be UTF-8, cloned and cut without a copy.
//!
//! Comes in: bytes from a socket, or text that is made here. Goes out: `&str`, and parts that
//! keep the same memory alive. Whoever holds a part of a large message for long copies it, see
//! [`Text::detached`].

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;

/// UTF-8 in shared memory.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text(Bytes);

impl Text {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// A text that is part of the program; no memory is taken.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Takes bytes as text; they are not copied.
    ///
    /// # Errors
    /// When they are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, std::str::Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("was UTF-8 when it was made, and never changes")
    }

    /// The same bytes, as bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A part of this text that shares its memory. `part` is a piece of `self.as_str()`.
    ///
    /// # Panics
    /// When `part` lies elsewhere in memory.
    #[must_use]
    pub fn part(&self, part: &str) -> Self {
        Self(self.0.slice_ref(part.as_bytes()))
    }

    /// The same text in memory of its own, for what outlives the message it came with.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_shares_memory_and_a_detached_text_does_not() {
        let whole = Text::from("one two");
        let part = whole.part(&whole[4..]);
        assert_eq!((part.as_str(), part.as_ptr()), ("two", whole[4..].as_ptr()));
        assert_ne!(part.detached().as_ptr(), part.as_ptr());
        assert!(Text::from_utf8(Bytes::from_static(b"\xff")).is_err());
    }
}
