//! The forms of a report, and the files they are wanted in: `--report junit=results.xml`, the
//! same for every command that makes a run. In: words as typed. Out: files, and the result on
//! standard output. What a report says is left to `reports`.

use crate::failure::Failure;
use crate::output::{self, Output};
use clap::{Args, ValueEnum};
use ebbtide_record::{State, Summary};
use std::path::{Path, PathBuf};

/// A form of the report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Form {
    /// For a terminal.
    Text,
    /// The summary.
    Json,
    /// For a browser.
    Html,
    /// JUnit XML: thresholds, checks and the memory verdict as test cases.
    Junit,
    /// For the summary of a build step or a comment.
    Markdown,
    /// The run second by second, a JSON object per line.
    Ndjson,
    /// The run second by second, as a table.
    Csv,
    /// The end figures for Prometheus.
    Openmetrics,
    /// For a terminal, in the tables of autocannon.
    Autocannon,
}

impl Form {
    /// The form that a file's name asks for.
    pub(crate) fn of(path: &Path) -> Self {
        match path.extension().and_then(|end| end.to_str()) {
            Some("html" | "htm") => Self::Html,
            Some("json") => Self::Json,
            Some("xml") => Self::Junit,
            Some("md" | "markdown") => Self::Markdown,
            Some("ndjson" | "jsonl") => Self::Ndjson,
            Some("csv") => Self::Csv,
            Some("prom") => Self::Openmetrics,
            _ => Self::Text,
        }
    }

    /// The report of a run; `folder` is named in the next command.
    pub(crate) fn render(self, state: &State, output: Output, folder: Option<&str>) -> String {
        match self {
            Self::Text => ebbtide_reports::text::render(state, output.style(folder)),
            Self::Json => ebbtide_reports::json::render(&Summary::of(state)),
            Self::Html => ebbtide_reports::html::render(state),
            Self::Junit => ebbtide_reports::junit::render(state),
            Self::Markdown => ebbtide_reports::markdown::render(state),
            Self::Ndjson => ebbtide_reports::series::ndjson(state),
            Self::Csv => ebbtide_reports::series::csv(state),
            Self::Autocannon => ebbtide_reports::autocannon::render(state),
            Self::Openmetrics => ebbtide_reports::openmetrics::render(state),
        }
    }
}

/// Reports wanted beside the summary, and the summary's own form.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Reporting {
    /// Print the summary as one JSON document
    #[arg(long, help_heading = "Results")]
    pub(crate) json: bool,
    /// Write a report: text, json, html, junit, markdown, ndjson, csv, openmetrics or
    /// autocannon. `-` is standard output, in place of the summary; repeatable
    #[arg(long, value_name = "FORMAT=FILE", value_parser = wanted, help_heading = "Results")]
    pub(crate) report: Vec<Wanted>,
}

/// One report wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    form: Form,
    /// None for standard output.
    file: Option<PathBuf>,
}

/// A report as it is typed: `junit=results.xml`.
fn wanted(text: &str) -> Result<Wanted, String> {
    let (word, file) = text.split_once('=').unwrap_or(("", text));
    if file.is_empty() || (word.is_empty() && file == "-") {
        return Err("a report is written `FORMAT=FILE`, such as `junit=results.xml`".to_owned());
    }
    let form = if word.is_empty() {
        Form::of(Path::new(file))
    } else {
        Form::from_str(word, true).map_err(|_| {
            let known: Vec<String> = Form::value_variants()
                .iter()
                .filter_map(|form| Some(form.to_possible_value()?.get_name().to_owned()))
                .collect();
            format!("`{word}` is no form of a report (known: {})", known.join(", "))
        })?
    };
    Ok(Wanted { form, file: (file != "-").then(|| PathBuf::from(file)) })
}

impl Reporting {
    /// Finds before a run what would keep its reports from being written after it.
    ///
    /// # Errors
    ///
    /// When two reports want standard output, or a file's folder is not there.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let to_stdout = self.report.iter().filter(|wanted| wanted.file.is_none()).count();
        if to_stdout + usize::from(self.json) > 1 {
            return Err(too_many_results());
        }
        self.report.iter().filter_map(|wanted| wanted.file.as_deref()).try_for_each(check_place)
    }

    /// The same with the result in this form, unless another one wants standard output.
    pub(crate) fn as_form(&self, form: Form) -> Self {
        let mut same = self.clone();
        let taken = self.json || self.report.iter().any(|wanted| wanted.file.is_none());
        if form != Form::Text && !taken {
            same.report.push(Wanted { form, file: None });
        }
        same
    }

    /// Writes the reports, and then the result to standard output.
    ///
    /// # Errors
    ///
    /// When a file or standard output cannot be written. The others are written all the same.
    pub(crate) fn deliver(
        &self,
        state: &State,
        output: Output,
        folder: Option<&Path>,
    ) -> Result<(), Failure> {
        let name = folder.map(output::shown);
        let mut failed = None;
        for Wanted { form, file } in &self.report {
            let Some(file) = file else { continue };
            let text = form.render(state, output.for_file(), name.as_deref());
            failed = failed.or(write(file, &text).err());
        }
        match self.report.iter().find(|wanted| wanted.file.is_none()) {
            Some(wanted) => output.result(&wanted.form.render(state, output, name.as_deref()))?,
            None => output.run(state, folder, self.json)?,
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Two results want standard output.
pub(crate) fn too_many_results() -> Failure {
    Failure::usage(
        "standard output takes one result: give a file to all but one of `--report` and `--json`",
    )
}

/// Finds before the work that a report could not be written after it.
///
/// # Errors
///
/// When the file's folder is not there, or the file is a folder.
pub(crate) fn check_place(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) || file.is_dir() {
        return Err(Failure::usage(format!(
            "`{}` cannot be written: make its folder, or choose another file",
            file.display()
        )));
    }
    Ok(())
}

/// Writes a report to a file.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        Failure::failed(format!("`{}`: {error}: choose another file", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_ordered_by_form_and_file() {
        let table = [
            ("junit=a/b.xml", Form::Junit, Some("a/b.xml")),
            ("CSV=-", Form::Csv, None),
            ("out.md", Form::Markdown, Some("out.md")),
            ("text=a=b", Form::Text, Some("a=b")),
        ];
        for (text, form, file) in table {
            let seen = wanted(text).unwrap();
            assert_eq!((seen.form, seen.file.as_deref()), (form, file.map(Path::new)), "{text}");
        }
        for (text, word) in [("-", "FORMAT=FILE"), ("junit=", "FORMAT=FILE"), ("xml=a", "junit")] {
            assert!(wanted(text).unwrap_err().contains(word), "{text}");
        }
    }
}
