//! The truth of a cell, and whether what was said of it is right.
//!
//! Comes in: the words after `# expect:`, and the summary of a run as JSON. Goes out: nothing, or
//! the first thing that does not fit; the sites that were named beside. Reads no file.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What a run must be called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// Something leaks.
    Leaking,
    /// Something grows by key, and no bound was seen.
    Growing,
    /// Nothing does.
    Clean,
}

/// The truth of a cell. Alternatives are written `a|b`.
#[derive(Clone, Debug)]
pub(super) struct Expect {
    /// What the run must be called.
    pub(super) word: Word,
    /// How `ebb run` must end.
    pub(super) exit: i64,
    function: Option<String>,
    file: Option<String>,
    line: Option<u64>,
    kind: Option<String>,
    /// The operation growth must be given per.
    pub(super) operation: Option<String>,
    says: Vec<String>,
    beside: Option<String>,
    /// True growth, bytes per operation.
    pub(super) bytes: Option<f64>,
    /// The operation that truth counts by, for a cell without `operation`.
    pub(super) per: Option<String>,
    /// Seconds that a run may take.
    pub(super) within: Option<f64>,
}

/// Words of interest: what may fail a run.
const ALARMS: [&str; 2] = ["leaking", "growing"];

impl Expect {
    /// Reads `WORD KEY=VALUE KEY="VALUE WITH BLANKS"`.
    ///
    /// # Errors
    /// When a word or key is unknown, or a value cannot be read.
    pub(super) fn read(text: &str) -> Result<Expect> {
        let words = words(text)?;
        let (first, rest) = words.split_first().context("`# expect:` says nothing")?;
        let (word, exit) = match first.as_str() {
            "leaking" => (Word::Leaking, 98),
            "growing" => (Word::Growing, 98),
            "clean" => (Word::Clean, 0),
            other => bail!("`# expect: {other}`: leaking, growing or clean"),
        };
        let mut expect = Expect {
            word,
            exit,
            function: None,
            file: None,
            line: None,
            kind: None,
            operation: None,
            says: Vec::new(),
            beside: None,
            bytes: None,
            per: None,
            within: None,
        };
        for word in rest {
            let (key, value) =
                word.split_once('=').with_context(|| format!("`{word}` is not KEY=VALUE"))?;
            expect.set(key, value).with_context(|| format!("`{word}`"))?;
        }
        Ok(expect)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let text = || Some(value.to_owned());
        match key {
            "exit" => self.exit = value.parse()?,
            "function" => self.function = text(),
            "file" => self.file = text(),
            "line" => self.line = Some(value.parse()?),
            "kind" => self.kind = text(),
            "operation" => self.operation = text(),
            "says" => self.says.push(value.to_owned()),
            "beside" => self.beside = text(),
            "bytes" => self.bytes = Some(value.parse()?),
            "per" => self.per = text(),
            "within" => self.within = Some(value.parse()?),
            _ => bail!(
                "`{key}` is no key; exit, function, file, line, kind, operation, says, beside, \
                 bytes, per, within"
            ),
        }
        Ok(())
    }

    /// What of a run is not as it should be, the most telling first; none when all fits.
    pub(super) fn misfit(&self, memory: &Value, exit: i64, seconds: f64) -> Option<String> {
        let word = memory["verdict"].as_str().unwrap_or("no word");
        let none = Value::Null;
        let first = sites(memory).next().unwrap_or(&none);
        let wanted = match self.word {
            Word::Leaking => "leaking",
            Word::Growing => "growing",
            Word::Clean => {
                let alarm = sites(memory).find(|site| is_alarm(site));
                let of_site = |site| {
                    format!("`{}` is called {}", text(site, "function"), text(site, "verdict"))
                };
                return alarm.map(of_site).or_else(|| self.misfit_of_end(exit, seconds));
            }
        };
        if word != wanted {
            return Some(format!("the word is {word}, not {wanted}"));
        }
        self.misfit_of_site(first).or_else(|| self.misfit_of_end(exit, seconds))
    }

    fn misfit_of_end(&self, exit: i64, seconds: f64) -> Option<String> {
        if exit != self.exit {
            return Some(format!("exit code {exit}, not {}", self.exit));
        }
        let limit = self.within.filter(|limit| seconds > *limit)?;
        Some(format!("{seconds:.0} s, not within {limit} s"))
    }

    fn misfit_of_site(&self, site: &Value) -> Option<String> {
        let differs =
            |key: &str, found: &str, wanted: &str| format!("{key} `{found}`, not `{wanted}`");
        let function = text(site, "function");
        if let Some(wanted) =
            self.function.as_deref().filter(|wanted| !has_one_of(function, wanted))
        {
            return Some(differs("function", function, wanted));
        }
        let operation = site["growth_per_op"]["operation"].as_str().unwrap_or_default();
        if let Some(wanted) =
            self.operation.as_deref().filter(|wanted| !is_one_of(operation, wanted))
        {
            return Some(differs("operation", operation, wanted));
        }
        let kind = text(site, "kind");
        if let Some(wanted) = self.kind.as_deref().filter(|wanted| !is_one_of(kind, wanted)) {
            return Some(differs("kind", kind, wanted));
        }
        let file = text(site, "file");
        if let Some(wanted) = self.file.as_deref().filter(|wanted| !file.ends_with(wanted)) {
            return Some(differs("file", file, wanted));
        }
        let line = site["line"].as_u64().unwrap_or(0);
        if let Some(wanted) = self.line.filter(|wanted| *wanted != line) {
            return Some(differs("line", &line.to_string(), &wanted.to_string()));
        }
        let all = site.to_string();
        let unsaid = self.says.iter().find(|saying| !all.contains(saying.as_str()));
        unsaid.map(|saying| format!("the site does not say `{saying}`"))
    }

    /// Sites called leaking or growing that are not among those of the truth.
    pub(super) fn strays(&self, memory: &Value) -> Vec<String> {
        let known = [&self.function, &self.beside];
        let is_known = |function: &str| {
            let mut lists = known.iter().filter_map(|list| list.as_deref());
            lists.any(|list| has_one_of(function, list))
        };
        // Without a function in the truth the first site stands for it.
        let skipped = usize::from(self.word != Word::Clean && self.function.is_none());
        sites(memory)
            .filter(|site| is_alarm(site))
            .skip(skipped)
            .map(|site| text(site, "function"))
            .filter(|function| !is_known(function))
            .map(str::to_owned)
            .collect()
    }
}

/// The sites of a verdict, as it orders them.
pub(super) fn sites(memory: &Value) -> impl Iterator<Item = &Value> {
    memory["sites"].as_array().into_iter().flatten()
}

/// A text of a site; empty when there is none.
pub(super) fn text<'a>(site: &'a Value, key: &str) -> &'a str {
    site[key].as_str().unwrap_or_default()
}

fn is_alarm(site: &Value) -> bool {
    ALARMS.contains(&text(site, "verdict"))
}

fn has_one_of(text: &str, parts: &str) -> bool {
    parts.split('|').any(|part| text.contains(part))
}

/// Whether a name is one of `a|b`, where `x + y` and `y + x` are the same.
fn is_one_of(name: &str, wanted: &str) -> bool {
    let sorted = |joined: &str| {
        let mut names: Vec<String> =
            joined.split(" + ").map(|name| name.trim().to_owned()).collect();
        names.sort();
        names
    };
    wanted.split('|').any(|wanted| sorted(wanted) == sorted(name))
}

/// Splits at blanks outside double quotes, and drops the quotes.
fn words(text: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if quoted {
        bail!("`{text}`: a quote is not closed");
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn memory() -> Value {
        json!({ "verdict": "leaking", "sites": [
            { "verdict": "leaking", "function": "shop::take", "file": "src/shop.rs", "line": 4,
              "kind": "cache", "growth_per_op": { "operation": "POST /b + POST /a" },
              "reasons": ["class Session"] },
            { "verdict": "growing", "function": "shop::beside" },
            { "verdict": "steady", "function": "shop::pool" },
        ] })
    }

    #[test]
    fn a_run_is_held_against_each_key() {
        for (expect, misfit) in [
            ("leaking", None),
            ("leaking function=take|x kind=cache|other line=4 file=shop.rs exit=98", None),
            ("leaking operation=\"POST /a + POST /b\" says=Session within=10", None),
            ("leaking function=give", Some("function `shop::take`, not `give`")),
            ("leaking operation=\"POST /a\"", Some("operation")),
            ("leaking kind=timer", Some("kind `cache`")),
            ("leaking line=5", Some("line `4`")),
            ("leaking file=op.js", Some("file")),
            ("leaking says=Token", Some("does not say `Token`")),
            ("leaking exit=0", Some("exit code 98")),
            ("leaking within=3", Some("5 s, not within 3 s")),
            ("growing", Some("the word is leaking")),
            ("clean", Some("`shop::take` is called leaking")),
        ] {
            let found = Expect::read(expect).expect(expect).misfit(&memory(), 98, 5.0);
            match misfit {
                None => assert_eq!(found, None, "{expect}"),
                Some(part) => {
                    assert!(found.as_deref().is_some_and(|f| f.contains(part)), "{found:?}")
                }
            }
        }
    }

    #[test]
    fn what_is_named_beside_the_truth_is_a_stray() {
        for (expect, strays) in [
            ("leaking function=take", 1),
            ("leaking function=take beside=beside", 0),
            ("leaking", 1),
            ("clean", 2),
        ] {
            assert_eq!(
                Expect::read(expect).expect(expect).strays(&memory()).len(),
                strays,
                "{expect}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["", "rotten", "clean exit=no", "leaking says", "leaking says=\"a", "clean a=b"]
        {
            assert!(Expect::read(text).is_err(), "{text}");
        }
    }
}
