//! Documents that a person hands over: scenarios, recordings, API documents. In: a path, or `-`
//! for standard input. Out: the text, or in words why there is none and what to do.
//! What the text means is left to whoever asked for it.

use std::fs::File;
use std::io::{self, Read};

/// A document at most, bytes: a recording of an hour is seldom a tenth of it, and a device file
/// has no end.
const TEXT_MAX: u64 = 256 * 1024 * 1024;

/// The text of a file, or of standard input.
///
/// # Errors
///
/// Why it cannot be had, with the cure.
pub(crate) fn of(file: &str) -> Result<String, String> {
    let read = match file {
        "-" => limited(io::stdin().lock(), TEXT_MAX),
        path => File::open(path).and_then(|file| limited(file, TEXT_MAX)),
    };
    let bytes = read.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => format!("it is larger than {} MiB", TEXT_MAX >> 20),
        _ => format!("{error}: check the path"),
    })?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text: save it as such".to_owned())
}

fn limited(source: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_up_to_a_limit() {
        assert_eq!(limited(&b"four"[..], 4).expect("four bytes"), b"four");
        let error = limited(io::repeat(0), 4).expect_err("more than four bytes");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn text_in_another_encoding_is_told_from_a_wrong_path() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"\xff\xfea\0").expect("written");
        let why = of(&file.path().display().to_string()).expect_err("UTF-16");
        assert!(why.contains("not UTF-8"), "{why}");
        assert!(of("/nowhere/at/all").expect_err("no file").contains("check the path"));
    }
}
