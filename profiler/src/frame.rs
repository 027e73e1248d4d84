//! A frame: one function at one line. In: names and paths as a compiler wrote them. Out: the
//! same as a person reads them (`hub::Room::subscribe`, `server/src/hub.rs`), equal for equal
//! code. Finding them is left to `symbol`, choosing among them to `site`. Pure.

use std::sync::Arc;

/// Longest function name kept, in characters: names of nested generics run to thousands.
pub const NAME_MAX: usize = 200;

/// Longest path kept, in bytes: the kernel's own limit.
pub const FILE_MAX: usize = 4_096;

/// Bytes of a function's name that are looked at: what is left of more is cut off anyway.
const RAW_NAME_MAX: usize = 16_384;

/// Folders below which a Rust package keeps its code.
const RUST_FOLDERS: [&str; 5] = ["src", "tests", "examples", "benches", "build.rs"];

/// Folders shown before a file that is no Rust file.
const FOLDERS_SHOWN: usize = 2;

/// One function at one line of a file.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Frame {
    /// Function, demangled, without hash; or `0x` and the address when it has no name.
    pub function: String,
    /// Source file as the compiler was given it; empty when unknown.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
}

impl Frame {
    /// A frame with its function's name made short, and its file's cut at [`FILE_MAX`].
    #[must_use]
    pub fn named(function: &str, file: &str, line: u32) -> Self {
        Self { function: short_function(function), file: cut(file, FILE_MAX).to_owned(), line }
    }

    /// A frame of which nothing is known but the address.
    #[must_use]
    pub fn unnamed(address: u64) -> Self {
        Self { function: format!("{address:#x}"), ..Self::default() }
    }

    /// The function has a name, and not an address alone.
    #[must_use]
    pub fn has_name(&self) -> bool {
        !self.function.is_empty() && !self.function.starts_with("0x")
    }
}

/// The names of a profile's locations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symbols {
    /// By index of the location: functions at its address, the innermost inlined one first.
    pub frames: Vec<Arc<[Arc<Frame>]>>,
    /// What could not be named, and why, in words.
    pub notes: Vec<String>,
}

/// A function's name with the paths inside `<...>` reduced to their last word, the hash at its
/// end cut off, and what is nested deeper than a person reads left out.
#[must_use]
pub fn short_function(raw: &str) -> String {
    let raw = without_hash(cut(raw, RAW_NAME_MAX).trim());
    let unwrapped = unwrap_inherent(raw);
    let mut short = String::with_capacity(unwrapped.len());
    let mut depth = 0usize;
    let mut previous = '\0';
    let mut chars = unwrapped.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '<' => {
                depth += 1;
                if depth == 3 {
                    short.push_str("<..");
                } else if depth < 3 {
                    short.push('<');
                }
            }
            // `->` and `=>` close nothing.
            '>' if previous != '-' && previous != '=' => {
                if depth <= 3 {
                    short.push('>');
                }
                depth = depth.saturating_sub(1);
            }
            ':' if (1..3).contains(&depth) && chars.peek() == Some(&':') => {
                chars.next();
                drop_last_word(&mut short);
            }
            _ if depth < 3 => short.push(c),
            _ => {}
        }
        previous = c;
    }
    match short.char_indices().nth(NAME_MAX) {
        Some((at, _)) => format!("{}…", &short[..at]),
        None => short,
    }
}

/// The same with the crate that the code is of, for a name that is all there is: without a file,
/// `<String as Clone>::clone` would be anybody's.
#[must_use]
pub(crate) fn short_with_crate(raw: &str) -> String {
    let short = short_function(raw);
    let (Some(inner), Some(rest)) = (raw.trim().strip_prefix('<'), short.strip_prefix('<')) else {
        return short;
    };
    if let Some(krate) = first_of_path(inner) {
        return format!("<{krate}::{rest}");
    }
    // A parameter, a slice or a reference: the code stands with the trait.
    match inner.split_once(" as ").and_then(|(_, of)| first_of_path(of)) {
        Some(krate) => short.replacen(" as ", &format!(" as {krate}::"), 1),
        None => short,
    }
}

/// The first word of what is a path of several.
fn first_of_path(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    text[end..].starts_with("::").then(|| &text[..end])
}

/// The first bytes of a text, so many at most, without half a character at their end.
#[must_use]
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Cuts the word at the end, so that of `a::b` the `b` to come is left. After `>` (a path that
/// goes on behind generics) the two colons are kept.
fn drop_last_word(short: &mut String) {
    let kept = short.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_' || c == '$').len();
    if kept == short.len() {
        short.push_str("::");
    } else {
        short.truncate(kept);
    }
}

/// `<path::Type<T>>::method`, as newer compilers write it, to `path::Type<T>::method`, as older
/// ones do. `<Type as Trait>::method` stays.
fn unwrap_inherent(name: &str) -> String {
    let Some(inner) = name.strip_prefix('<') else { return name.to_owned() };
    let mut depth = 1usize;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if at > 0 && !matches!(inner.as_bytes()[at - 1], b'-' | b'=') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (self_type, rest) = (&inner[..at], &inner[at + 1..]);
            let plain = self_type.starts_with(|c: char| c.is_alphabetic() || c == '_');
            if plain && !self_type.contains(" as ") && !self_type.starts_with("dyn ") {
                return format!("{self_type}{rest}");
            }
            break;
        }
    }
    name.to_owned()
}

fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            path
        }
        _ => name,
    }
}

/// The function that a closure, an async block or a wrapper was written in. Empty when the name
/// says nothing but that it is a closure.
#[must_use]
pub fn enclosing_function(function: &str) -> String {
    if function.contains('{') {
        let named: Vec<&str> =
            function.split("::").filter(|segment| !segment.starts_with('{')).collect();
        return named.join("::");
    }
    go_enclosing(function).to_owned()
}

/// Go: `main.serve.func1.2`, `main.(*Hub).Run.gowrap1`, `main.(*Hub).Run-fm`.
fn go_enclosing(function: &str) -> &str {
    let mut name = function.strip_suffix("-fm").unwrap_or(function);
    while let Some((outer, last)) = name.rsplit_once('.') {
        let made = ["func", "gowrap", "deferwrap", ""].iter().any(|word| {
            last.strip_prefix(word).is_some_and(|count| {
                !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())
            })
        });
        if !made || outer.is_empty() {
            break;
        }
        name = outer;
    }
    name
}

/// A path as it is shown and compared: from the folder of its package on
/// (`server/src/hub.rs`), or the last few folders where no package can be told.
#[must_use]
pub fn short_file(path: &str) -> String {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let from = if path.ends_with(".rs") {
        let package = parts.iter().rposition(|part| RUST_FOLDERS.contains(part));
        package.map_or(parts.len().saturating_sub(1), |at| at.saturating_sub(1))
    } else if path.starts_with('/') {
        parts.len().saturating_sub(FOLDERS_SHOWN + 1)
    } else {
        0
    };
    parts[from..].join("/")
}

/// Two paths of one file, of which either may begin further inside: what a compiler was given,
/// and what is shown.
#[must_use]
pub fn same_file(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    !short.is_empty()
        && long.strip_suffix(short).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}
