//! The forms that heap snapshots are rendered in, and the files they are wanted in: `--report
//! svg=growth.svg`, written as for every other report. In: words as typed. Out: files, and the
//! result on standard output. What is in them is left to `sites`, `classes` and the profiler.

use crate::failure::Failure;
use crate::form;
use crate::output::Output;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// A form of a comparison, or of one snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum HeapForm {
    /// A table.
    Text,
    /// One JSON document.
    Json,
    /// Folded stacks: bytes before and after, for flamegraph.pl and inferno.
    Folded,
    /// Folded stacks: growth alone.
    Growth,
    /// For <https://www.speedscope.app>.
    Speedscope,
    /// A flame graph for a browser.
    Svg,
    /// profile.proto, for `go tool pprof`.
    Pprof,
}

impl HeapForm {
    /// The form that a file's name asks for.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let forms = [
            (".speedscope.json", Self::Speedscope),
            (".json", Self::Json),
            (".svg", Self::Svg),
            (".pb.gz", Self::Pprof),
            (".pprof", Self::Pprof),
            (".folded", Self::Folded),
            (".collapsed", Self::Folded),
            (".txt", Self::Text),
        ];
        forms.iter().find(|(end, _)| name.ends_with(end)).map(|(_, form)| *form)
    }

    /// The word that asks for it.
    pub(super) fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The result's form, and reports wanted beside it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct HeapReporting {
    /// Print all rows as one JSON document
    #[arg(long, help_heading = "Results")]
    json: bool,
    /// Write a report: text, json, folded, growth (folded, what grew alone), speedscope, svg (flame
    /// graph) or pprof. `-` is standard output, in place of the table; repeatable
    #[arg(long, value_name = "FORMAT=FILE", value_parser = wanted, help_heading = "Results")]
    report: Vec<Wanted>,
}

/// One report wanted.
#[derive(Clone, Debug)]
struct Wanted {
    form: HeapForm,
    /// None for standard output.
    file: Option<PathBuf>,
}

/// A report as it is typed: `svg=growth.svg`.
fn wanted(text: &str) -> Result<Wanted, String> {
    let known = || {
        let words: Vec<String> =
            HeapForm::value_variants().iter().map(|form| form.word()).collect();
        words.join(", ")
    };
    let (word, file) = text.split_once('=').unwrap_or(("", text));
    if file.is_empty() || (word.is_empty() && file == "-") {
        return Err(format!("write `FORMAT=FILE`, such as `svg=growth.svg` (known: {})", known()));
    }
    let form = if word.is_empty() {
        HeapForm::of(Path::new(file)).ok_or_else(|| {
            format!("the name `{file}` tells no form: write `FORMAT={file}` (known: {})", known())
        })?
    } else {
        HeapForm::from_str(word, true)
            .map_err(|_| format!("`{word}` is no form of a report (known: {})", known()))?
    };
    Ok(Wanted { form, file: (file != "-").then(|| PathBuf::from(file)) })
}

impl HeapReporting {
    /// Finds before the work what would keep a report from being written after it.
    ///
    /// # Errors
    ///
    /// When two results want standard output, or a file's folder is not there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let to_stdout = self.report.iter().filter(|wanted| wanted.file.is_none()).count();
        if to_stdout + usize::from(self.json) > 1 {
            return Err(form::too_many_results());
        }
        let mut files = self.report.iter().filter_map(|wanted| wanted.file.as_deref());
        files.try_for_each(form::check_place)
    }

    /// Writes the reports, and then the result to standard output.
    ///
    /// # Errors
    ///
    /// When a form cannot be made of the snapshots, or a file or standard output cannot be
    /// written.
    pub(super) fn deliver(
        &self,
        output: Output,
        render: impl Fn(HeapForm) -> Result<Vec<u8>, Failure>,
    ) -> Result<(), Failure> {
        for Wanted { form, file } in &self.report {
            let Some(file) = file else { continue };
            form::write(file, render(*form)?)?;
        }
        let plain = if self.json { HeapForm::Json } else { HeapForm::Text };
        let to_stdout = self.report.iter().find(|wanted| wanted.file.is_none());
        output.bytes(&render(to_stdout.map_or(plain, |wanted| wanted.form))?)
    }
}
