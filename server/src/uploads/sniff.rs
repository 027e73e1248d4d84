//! What kind of file something is, by its content alone. Pure.
//! In: its first bytes. Out: one of the few kinds that are taken, or none; names and what the
//! sender says of the type do not count.
//! Leaves to others: whether the rest keeps what the beginning promises (`picture`).

/// Bytes that are looked at.
pub(crate) const SNIFFED_BYTES: usize = 1_024;

/// A kind of file that is taken. None of them is run by a browser, or may bring scripts along.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Png,
    Jpeg,
    Gif,
    Webp,
    Pdf,
    Zip,
    Mp4,
    Ogg,
    Text,
}

impl Kind {
    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::Zip => "application/zip",
            Self::Mp4 => "video/mp4",
            Self::Ogg => "audio/ogg",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// The kind of that media type.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let all = [
            Self::Png,
            Self::Jpeg,
            Self::Gif,
            Self::Webp,
            Self::Pdf,
            Self::Zip,
            Self::Mp4,
            Self::Ogg,
            Self::Text,
        ];
        all.into_iter().find(|kind| kind.media_type() == media_type)
    }

    /// A picture, which may be shown in its place; everything else is saved.
    pub(crate) fn is_picture(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Gif | Self::Webp)
    }

    /// A picture of which a small one can be made.
    pub(crate) fn can_be_made_small(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Webp)
    }
}

/// The kind of a file that begins so; `is_whole` when that is all of it.
pub(crate) fn sniff(begin: &[u8], is_whole: bool) -> Option<Kind> {
    let at = |place: usize, sign: &[u8]| begin.get(place..place + sign.len()) == Some(sign);
    if at(0, b"\x89PNG\r\n\x1a\n") {
        Some(Kind::Png)
    } else if at(0, b"\xff\xd8\xff") {
        Some(Kind::Jpeg)
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        Some(Kind::Gif)
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Some(Kind::Webp)
    } else if at(0, b"%PDF-") {
        Some(Kind::Pdf)
    } else if at(0, b"PK\x03\x04") {
        Some(Kind::Zip)
    } else if at(4, b"ftyp") {
        Some(Kind::Mp4)
    } else if at(0, b"OggS") {
        Some(Kind::Ogg)
    } else {
        is_text(begin, is_whole).then_some(Kind::Text)
    }
}

/// Whether it is UTF-8 without signs that no text has.
fn is_text(begin: &[u8], is_whole: bool) -> bool {
    let text = match std::str::from_utf8(begin) {
        Ok(text) => text,
        // Cut within a sign.
        Err(error) if !is_whole && error.error_len().is_none() => {
            std::str::from_utf8(&begin[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !"\t\n\r\u{c}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_says_what_it_is() {
        for (begin, kind) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some(Kind::Png)),
            (b"\xff\xd8\xff\xe0", Some(Kind::Jpeg)),
            (b"GIF89a<script>", Some(Kind::Gif)),
            (b"RIFF....WEBPVP8 ", Some(Kind::Webp)),
            (b"%PDF-1.7", Some(Kind::Pdf)),
            (b"PK\x03\x04", Some(Kind::Zip)),
            (b"....ftypisom", Some(Kind::Mp4)),
            (b"OggS", Some(Kind::Ogg)),
            (b"hello\r\nthere", Some(Kind::Text)),
            (b"<!doctype html><script>x</script>", Some(Kind::Text)),
            (b"\x7fELF", None),
            (b"MZ\x90\0", None),
            (b"\xef\xbf", None),
            (b"", None),
            (b"RIFF....WAVE", Some(Kind::Text)),
        ] {
            assert_eq!(sniff(begin, true), kind, "{begin:?}");
        }
        assert_eq!(sniff(b"half a sign: \xc3", false), Some(Kind::Text));
        assert_eq!(sniff(b"half a sign: \xc3", true), None);
        assert_eq!(Kind::of("image/webp"), Some(Kind::Webp));
        assert_eq!(Kind::of("text/html"), None);
    }
}
