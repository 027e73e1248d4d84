//! The language of a site, by the endings of the files on its stack.
//! In: a site. Out: one of the three that cures are written in, where it is known.
//! TypeScript is left to the JavaScript ones, which it reads.

use ebbtide_record::verdict::SiteVerdict;
use serde::Serialize;

/// A language that examples are written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Rust.
    Rust,
    /// JavaScript, and what compiles to it.
    JavaScript,
    /// Go.
    Go,
}

/// Endings of source files.
const ENDINGS: [(Language, &[&str]); 3] = [
    (Language::Rust, &["rs"]),
    (
        Language::JavaScript,
        &["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte"],
    ),
    (Language::Go, &["go"]),
];

impl Language {
    /// All, in the order in which examples stand.
    pub const ALL: [Self; 3] = [Self::JavaScript, Self::Rust, Self::Go];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Go => "Go",
        }
    }

    /// The language of the site's file; failing that, of the first own frame whose file tells it,
    /// then of any.
    #[must_use]
    pub fn of(site: &SiteVerdict) -> Option<Self> {
        let own = site.stack.iter().filter(|frame| frame.own);
        let files = own.chain(&site.stack).map(|frame| frame.file.as_str());
        std::iter::once(site.file.as_str()).chain(files).find_map(Self::of_file)
    }

    fn of_file(file: &str) -> Option<Self> {
        // Node says `node:events` and `file:///srv/app.js?v=2`.
        let path = file.split(['?', '#']).next().unwrap_or_default();
        if path.starts_with("node:") {
            return Some(Self::JavaScript);
        }
        let (_, ending) = path.rsplit_once('.')?;
        ENDINGS.iter().find(|(_, endings)| endings.contains(&ending)).map(|(language, _)| *language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_record::verdict::FrameLine;

    #[test]
    fn a_file_tells_its_language_and_a_stack_stands_in_for_it() {
        for (file, language) in [
            ("server/src/hub.rs", Some(Language::Rust)),
            ("file:///srv/app/index.mjs", Some(Language::JavaScript)),
            ("src/app.tsx?v=2", Some(Language::JavaScript)),
            ("node:events", Some(Language::JavaScript)),
            ("handler/user.go", Some(Language::Go)),
            ("a.c", None),
            ("", None),
        ] {
            let site = SiteVerdict { file: file.to_owned(), ..SiteVerdict::default() };
            assert_eq!(Language::of(&site), language, "{file}");
        }
        let frame = |file: &str, own| FrameLine { file: file.into(), own, ..FrameLine::default() };
        let stack = vec![frame("node:net", false), frame("main.go", true)];
        let site = SiteVerdict { stack, ..SiteVerdict::default() };
        assert_eq!(Language::of(&site), Some(Language::Go));
    }
}
