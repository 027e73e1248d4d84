//! Words of a command that a person is told to type, and text that drives no terminal.
//! In: any text. Out: the same as a shell takes it, or a terminal shows it.
//! Which command that is is left to whoever tells it.

/// A word as a shell takes it: quoted when it holds anything but plain characters.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The text with control characters replaced, so that it cannot drive the terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
