//! A Rust file as a flat list of tokens, each with its line and whether it belongs to tests.
//!
//! Comes in: text. Goes out: tokens without comments and documentation, and the paths
//! (`std::time::Instant`) that the code names, `use` groups written out. Tokens are enough for
//! every rule here; types and scopes are the compiler's business.

use super::Finding;
use super::tree::Tree;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::str::FromStr;

/// What a token is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// An identifier or keyword.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    /// A string literal, quotes included.
    Text(String),
    /// Any other literal.
    Number,
    /// The start of a group.
    Open(Delimiter),
    /// The end of a group.
    Close(Delimiter),
}

/// One token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// First line, from 1.
    pub(super) line: usize,
    /// Last line: a text may have several.
    pub(super) last_line: usize,
    /// How many groups are open around it; the two ends of a group have that of their outside.
    pub(super) depth: usize,
    /// In a test, or in something compiled for tests alone.
    pub(super) in_test: bool,
}

impl Token {
    /// Whether it is this keyword or name.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(own) if own == word)
    }

    /// The keyword or name, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }
}

/// A path named in code, such as `std::time::Instant`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NamedPath {
    /// Where it begins, or where its part of a `use` group does.
    pub(super) line: usize,
    /// Two or more; `*` and turbofish end a path.
    pub(super) segments: Vec<String>,
    /// As the token it begins with.
    pub(super) in_test: bool,
}

/// One Rust file.
pub(super) struct Source {
    /// Path from the root.
    pub(super) path: String,
    /// As it stands in the file, comments and all.
    pub(super) text: String,
    /// In order, groups flat between their two ends.
    pub(super) tokens: Vec<Token>,
}

impl Source {
    /// Parses every Rust file of a tree; one that is no Rust is a finding.
    pub(super) fn parse_all(tree: &Tree, findings: &mut Vec<Finding>) -> Vec<Source> {
        let mut sources = Vec::new();
        for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".rs")) {
            match Source::parse(path, text) {
                Ok(source) => sources.push(source),
                Err(line) => {
                    findings.push(Finding::new(path, line, "not Rust", "see `cargo check`"));
                }
            }
        }
        mark_test_modules(&mut sources);
        sources
    }

    fn parse(path: &str, text: &str) -> Result<Source, usize> {
        let stream = TokenStream::from_str(text).map_err(|error| error.span().start().line)?;
        let mut tokens = Vec::new();
        flatten(stream, 0, &mut tokens);
        let mut source = Source { path: path.to_owned(), text: text.to_owned(), tokens };
        if is_test_path(path) {
            source.mark_all_as_test();
        }
        source.mark_test_items();
        Ok(source)
    }

    /// The crate's folder: the first part of the path.
    pub(super) fn folder(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The module directly below `src` that the file belongs to; none for the crate's root.
    pub(super) fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix(self.folder())?.strip_prefix("/src/")?;
        let module =
            rest.split_once('/').map_or_else(|| rest.strip_suffix(".rs"), |(m, _)| Some(m));
        module.filter(|module| !matches!(*module, "lib" | "main"))
    }

    /// The index of the closing end of the group that opens at `open`.
    pub(super) fn close_of(&self, open: usize) -> usize {
        let depth = self.tokens[open].depth;
        let closes = |token: &Token| matches!(token.kind, Kind::Close(_)) && token.depth == depth;
        let inside = self.tokens[open..].iter().position(closes);
        inside.map_or(self.tokens.len() - 1, |offset| open + offset)
    }

    /// From an item's first token, the index of its last: the end of its body or its semicolon.
    pub(super) fn end_of_item(&self, start: usize) -> usize {
        let depth = self.tokens[start].depth;
        for (index, token) in self.tokens.iter().enumerate().skip(start) {
            if token.depth < depth || (token.depth == depth && token.is_mark(';')) {
                return index;
            }
            if token.depth == depth && token.kind == Kind::Open(Delimiter::Brace) {
                return self.close_of(index);
            }
        }
        self.tokens.len() - 1
    }

    /// Every path of two or more parts that the code names.
    pub(super) fn named_paths(&self) -> Vec<NamedPath> {
        let mut paths = Vec::new();
        let mut index = 0;
        while index < self.tokens.len() {
            index = match self.tokens[index].kind {
                Kind::Word(_) => self.read_path(index, &[], &mut paths),
                _ => index + 1,
            };
        }
        paths
    }

    /// Reads the path that starts at `index`; returns the index after it.
    fn read_path(&self, index: usize, prefix: &[String], paths: &mut Vec<NamedPath>) -> usize {
        let first = &self.tokens[index];
        let mut segments = prefix.to_vec();
        segments.extend(first.word().map(str::to_owned));
        let mut next = index + 1;
        while self.is_double_colon(next) {
            match self.tokens.get(next + 2).map(|token| &token.kind) {
                Some(Kind::Word(word)) => segments.push(word.clone()),
                Some(Kind::Open(Delimiter::Brace)) => {
                    let close = self.close_of(next + 2);
                    let mut inner = next + 3;
                    while inner < close {
                        inner = match self.tokens[inner].kind {
                            Kind::Word(_) => self.read_path(inner, &segments, paths),
                            _ => inner + 1,
                        };
                    }
                    return close + 1;
                }
                _ => break,
            }
            next += 3;
        }
        if segments.len() > 1 {
            paths.push(NamedPath { line: first.line, segments, in_test: first.in_test });
        }
        next
    }

    fn is_double_colon(&self, index: usize) -> bool {
        let colon = |index: usize| self.tokens.get(index).is_some_and(|token| token.is_mark(':'));
        colon(index) && colon(index + 1)
    }

    /// The attributes (`#[...]` and `#![...]`): the indices of their brackets.
    pub(super) fn attributes(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (index, token) in self.tokens.iter().enumerate() {
            if !token.is_mark('#') {
                continue;
            }
            let inner = self.tokens.get(index + 1).is_some_and(|token| token.is_mark('!'));
            let open = index + 1 + usize::from(inner);
            if self.tokens.get(open).is_some_and(|t| t.kind == Kind::Open(Delimiter::Bracket)) {
                found.push((open, self.close_of(open)));
            }
        }
        found
    }

    fn mark_all_as_test(&mut self) {
        for token in &mut self.tokens {
            token.in_test = true;
        }
    }

    /// Marks what follows `#[cfg(test)]`, `#[test]` and their like, to the end of the item.
    fn mark_test_items(&mut self) {
        for (open, close) in self.attributes() {
            let words: Vec<&str> =
                self.tokens[open..close].iter().filter_map(Token::word).collect();
            let for_tests = match words.as_slice() {
                ["cfg", rest @ ..] => rest.contains(&"test") && !rest.contains(&"not"),
                words => words.last() == Some(&"test"),
            };
            if for_tests && close + 1 < self.tokens.len() {
                let end = self.end_of_item(self.after_attributes(close + 1));
                for token in &mut self.tokens[open..=end] {
                    token.in_test = true;
                }
            }
        }
    }

    /// Steps over further attributes of the same item.
    fn after_attributes(&self, mut index: usize) -> usize {
        while index + 1 < self.tokens.len() && self.tokens[index].is_mark('#') {
            index = (self.close_of(index + 1) + 1).min(self.tokens.len() - 1);
        }
        index
    }
}

/// Integration tests, and unit tests in files of their own. A whole package below `tests/` is a
/// program, not a test.
fn is_test_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let tests = parts.iter().rposition(|part| matches!(*part, "tests" | "benches"));
    let in_folder = tests.is_some_and(|at| !parts[at..].contains(&"src"));
    in_folder || parts.last() == Some(&"tests.rs")
}

/// `#[cfg(test)] mod name;` makes the file of that module a test.
fn mark_test_modules(sources: &mut [Source]) {
    let mut folders = BTreeSet::new();
    for source in &*sources {
        let below = match source.path.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder.to_owned(),
            _ => source.path.trim_end_matches(".rs").to_owned(),
        };
        for three in source.tokens.windows(3) {
            if three[0].in_test && three[0].is_word("mod") && three[2].is_mark(';') {
                folders.extend(three[1].word().map(|name| format!("{below}/{name}")));
            }
        }
    }
    for source in sources {
        let path = source.path.trim_end_matches(".rs");
        let mut ancestors = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        let for_tests = ancestors.any(|folder| folders.contains(folder));
        drop(ancestors);
        if for_tests {
            source.mark_all_as_test();
        }
    }
}

/// Writes a stream's tokens out in order, leaving documentation away.
fn flatten(stream: TokenStream, depth: usize, tokens: &mut Vec<Token>) {
    for tree in stream {
        let span = tree.span();
        let (line, last_line) = (span.start().line, span.end().line);
        let mut push = |kind: Kind, line: usize, last_line: usize| {
            tokens.push(Token { kind, line, last_line, depth, in_test: false });
        };
        match tree {
            TokenTree::Ident(ident) => push(Kind::Word(ident.to_string()), line, last_line),
            TokenTree::Punct(mark) => push(Kind::Mark(mark.as_char()), line, last_line),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let kind = if text.ends_with(['"', '#']) { Kind::Text(text) } else { Kind::Number };
                push(kind, line, last_line);
            }
            TokenTree::Group(group) => {
                if is_documentation(&group) {
                    drop_attribute_marks(tokens);
                    continue;
                }
                let delimiter = group.delimiter();
                push(Kind::Open(delimiter), line, line);
                flatten(group.stream(), depth + 1, tokens);
                tokens.push(Token {
                    kind: Kind::Close(delimiter),
                    line: last_line,
                    last_line,
                    depth,
                    in_test: false,
                });
            }
        }
    }
}

/// `[doc = "..."]`, which is what a documentation comment turns into.
fn is_documentation(group: &proc_macro2::Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket
        && matches!(first, Some(TokenTree::Ident(word)) if word == "doc")
}

/// Takes back the `#` or `#!` that stands before a documentation's bracket.
fn drop_attribute_marks(tokens: &mut Vec<Token>) {
    while tokens.last().is_some_and(|token| token.is_mark('!') || token.is_mark('#')) {
        let hash = tokens.pop().is_some_and(|token| token.is_mark('#'));
        if hash {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse("a/src/b.rs", text).expect("Rust")
    }

    #[test]
    fn use_groups_are_written_out() {
        let source =
            parse("use std::{fs, time::{Duration, Instant}};\nfn a() { tokio::spawn(b::<u8>) }");
        let paths: Vec<String> =
            source.named_paths().iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(paths, ["std::fs", "std::time::Duration", "std::time::Instant", "tokio::spawn"]);
    }

    #[test]
    fn documentation_is_no_code_and_tests_are_told_apart() {
        let source = parse(
            "//! Head.\n/// Doc.\nfn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\n\
             #[cfg(not(test))]\nfn c() {}\n#[tokio::test]\n#[expect(x)]\nasync fn d() {}\n\
             fn e() {}\n",
        );
        let functions: Vec<(&str, bool)> = source
            .tokens
            .windows(2)
            .filter(|two| two[0].is_word("fn"))
            .filter_map(|two| Some((two[1].word()?, two[1].in_test)))
            .collect();
        assert_eq!(functions, [("a", false), ("b", true), ("c", false), ("d", true), ("e", false)]);
        assert_eq!(source.tokens[0].line, 3);
    }

    #[test]
    fn a_module_declared_for_tests_is_a_test_in_its_own_file() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod golden;"),
            ("a/src/b.rs", "fn b() {}"),
            ("a/src/golden.rs", "fn c() {}"),
            ("a/tests/d.rs", "fn d() {}"),
            ("a/tests/foreign/src/main.rs", "fn e() {}"),
        ]);
        let sources = Source::parse_all(&tree, &mut Vec::new());
        let tests: Vec<&str> = sources
            .iter()
            .filter(|source| source.tokens.iter().all(|token| token.in_test))
            .map(|source| source.path.as_str())
            .collect();
        assert_eq!(tests, ["a/src/golden.rs", "a/tests/d.rs"]);
    }

    #[test]
    fn what_is_not_rust_is_a_finding() {
        let mut findings = Vec::new();
        Source::parse_all(&Tree::of(&[("a/src/b.rs", "fn a() {\n")]), &mut findings);
        assert_eq!(findings.len(), 1);
    }
}
