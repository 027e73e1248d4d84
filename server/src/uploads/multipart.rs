//! Forms with files (RFC 7578), read as they come. Pure.
//! In: the bytes of a request's body, in any portions. Out: the heads of its parts, and their
//! content as it comes. At most a head and a delimiter are held.
//! Leaves to others: the body (`api`), what becomes of the content (`uploads`).

use memchr::memmem;

/// Bytes of a part's head: a name of a file and a type, as a rule.
const HEAD_BYTES: usize = 8 << 10;

/// RFC 2046 section 5.1.1 allows a boundary no more.
const BOUNDARY_BYTES: usize = 70;

/// What is wrong with a form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("the body is not a form (send `multipart/form-data` with a boundary)")]
    NoForm,
    #[error("a part of the form has a head that is too long, or is not one")]
    BadHead,
    #[error("the form is not complete")]
    Incomplete,
}

/// The head of a part.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    /// What the form calls it.
    pub(crate) name: String,
    /// What the sender calls the file, if it is one. Not to be trusted.
    pub(crate) file: Option<String>,
}

/// A piece of a form.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// A part begins.
    Part(Head),
    /// Some of its content.
    Content(Vec<u8>),
    /// The last part is over; what follows means nothing.
    End,
}

/// Where in the form the reader is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Before the first delimiter.
    Preamble,
    /// Behind a delimiter: another part, or the end.
    Behind,
    Head,
    Content,
    End,
}

/// A form that is being read.
#[derive(Debug)]
pub(crate) struct Form {
    /// With the end of the line that it stands behind.
    delimiter: Vec<u8>,
    held: Vec<u8>,
    place: Place,
}

impl Form {
    /// A form whose `content-type` is this.
    pub(crate) fn new(content_type: &str) -> Result<Self, FormError> {
        let mut parts = content_type.split(';');
        let kind = parts.next().unwrap_or_default().trim();
        let is_boundary = |part: &str| {
            let (name, value) = part.trim().split_once('=')?;
            name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
        };
        let boundary = parts.find_map(is_boundary).unwrap_or_default();
        let is_form = kind.eq_ignore_ascii_case("multipart/form-data");
        if !is_form || boundary.is_empty() || boundary.len() > BOUNDARY_BYTES {
            return Err(FormError::NoForm);
        }
        // The first delimiter may stand at the very beginning: as if a line had ended before it.
        let (delimiter, held) = (format!("\r\n--{boundary}").into_bytes(), b"\r\n".to_vec());
        Ok(Self { delimiter, held, place: Place::Preamble })
    }

    /// Takes what has come; [`Form::next`] is to be asked until it has no more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next piece of what has come.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, FormError> {
        loop {
            match self.place {
                Place::End => return Ok(None),
                Place::Preamble => match self.find() {
                    Some(at) => self.pass(at + self.delimiter.len(), Place::Behind),
                    None => {
                        self.before_delimiter();
                        return Ok(None);
                    }
                },
                Place::Behind => match self.held.get(..2) {
                    None => return Ok(None),
                    Some(b"--") => {
                        self.place = Place::End;
                        return Ok(Some(Piece::End));
                    }
                    Some(b"\r\n") => self.pass(2, Place::Head),
                    Some(_) => return Err(FormError::BadHead),
                },
                Place::Head => {
                    let end = memmem::find(&self.held, b"\r\n\r\n");
                    let Some(end) = end.filter(|end| *end <= HEAD_BYTES) else {
                        let is_long = self.held.len() > HEAD_BYTES;
                        return if is_long { Err(FormError::BadHead) } else { Ok(None) };
                    };
                    let head = head(&self.held[..end]).ok_or(FormError::BadHead)?;
                    self.pass(end + 4, Place::Content);
                    return Ok(Some(Piece::Part(head)));
                }
                Place::Content => {
                    if let Some(at) = self.find() {
                        let content: Vec<u8> = self.held.drain(..at).collect();
                        self.pass(self.delimiter.len(), Place::Behind);
                        if !content.is_empty() {
                            return Ok(Some(Piece::Content(content)));
                        }
                        continue;
                    }
                    let content = self.before_delimiter();
                    return Ok((!content.is_empty()).then_some(Piece::Content(content)));
                }
            }
        }
    }

    /// Whether the form has come to its end.
    pub(crate) fn finish(&self) -> Result<(), FormError> {
        if self.place == Place::End { Ok(()) } else { Err(FormError::Incomplete) }
    }

    fn find(&self) -> Option<usize> {
        memmem::find(&self.held, &self.delimiter)
    }

    fn pass(&mut self, bytes: usize, place: Place) {
        self.held.drain(..bytes);
        self.place = place;
    }

    /// Takes all that cannot be the beginning of a delimiter.
    fn before_delimiter(&mut self) -> Vec<u8> {
        let kept = self.held.len().min(self.delimiter.len() - 1);
        self.held.drain(..self.held.len() - kept).collect()
    }
}

/// Reads the head of a part: of its lines one alone counts.
fn head(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let disposition = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    })?;
    let mut head = Head::default();
    let mut rest = disposition.strip_prefix("form-data")?;
    while let Some((_, behind)) = rest.split_once(';') {
        let (name, value) = behind.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            // Browsers write a quote within as `%22` (the HTML standard, section 4.10.21.8).
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        match name.trim() {
            "name" => head.name = value.to_owned(),
            "filename" => head.file = Some(value.replace("%22", "\"")),
            _ => {}
        }
        rest = after;
    }
    (!head.name.is_empty()).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=\"xy\"";

    /// The parts with their whole content, read in portions of that many bytes.
    fn read(text: &[u8], portion: usize) -> Result<Vec<(Head, Vec<u8>)>, FormError> {
        let mut form = Form::new(KIND)?;
        let mut parts: Vec<(Head, Vec<u8>)> = Vec::new();
        for bytes in text.chunks(portion) {
            form.push(bytes);
            while let Some(piece) = form.next()? {
                match piece {
                    Piece::Part(head) => parts.push((head, Vec::new())),
                    Piece::Content(bytes) => parts.last_mut().unwrap().1.extend(bytes),
                    Piece::End => {}
                }
            }
            assert!(form.held.len() <= HEAD_BYTES + portion, "what is held is bounded");
        }
        form.finish().map(|()| parts)
    }

    #[test]
    fn parts_come_whole_in_any_portions() {
        let text =
            b"before\r\n--xy\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n\r\n--xy\
            \r\ncontent-type: image/png\r\nContent-Disposition: form-data; name=\"file\"; \
            filename=\"a %22b%22; [c].png\"\r\n\r\n1\r\n--x\r\n2\r\n--xy--\r\nbehind";
        let file = Some("a \"b\"; [c].png".to_owned());
        let expected = vec![
            (Head { name: "note".to_owned(), file: None }, Vec::new()),
            (Head { name: "file".to_owned(), file }, b"1\r\n--x\r\n2".to_vec()),
        ];
        for portion in 1..text.len() {
            assert_eq!(read(text, portion), Ok(expected.clone()), "{portion}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let long = format!("--xy\r\nx: {}", "x".repeat(HEAD_BYTES));
        for (text, error) in [
            ("", FormError::Incomplete),
            ("--xy", FormError::Incomplete),
            ("--xy\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb", FormError::Incomplete),
            ("--xyzz", FormError::BadHead),
            ("--xy\r\n\r\n\r\n--xy--", FormError::BadHead),
            ("--xy\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb", FormError::BadHead),
            ("--xy\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nb", FormError::BadHead),
            (&long, FormError::BadHead),
        ] {
            assert_eq!(read(text.as_bytes(), 7), Err(error), "{}", &text[..text.len().min(40)]);
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for kind in
            ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x", &long]
        {
            assert_eq!(Form::new(kind).err(), Some(FormError::NoForm), "{kind}");
        }
    }
}
