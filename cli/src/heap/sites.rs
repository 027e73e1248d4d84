//! Heap profiles, one or two: read, grouped, compared, and the wanted rows picked. In: a question.
//! Out: rows with their stacks, and each form of a report. Tables and JSON are drawn by `table`,
//! files for other tools by the profiler.

use super::rows::{By, Figures};
use super::{HeapForm, Question, table};
use crate::failure::Failure;
use ebbtide_profiler::diff::{Diff, DiffRow, diff};
use ebbtide_profiler::export::{Title, flamegraph, folded, pprof, speedscope};
use ebbtide_profiler::group::{self, Grouping};
use ebbtide_profiler::stacks::{Reading, Stacks};
use ebbtide_profiler::{Folded, SiteRules};
use ebbtide_rounds::heap::HeapReader;
use std::collections::HashSet;
use std::path::Path;

/// Heap profiles compared, or one of them.
pub(super) struct Sites<'a> {
    pub(super) question: Question<'a>,
    /// What a row stands for.
    pub(super) by: By,
    /// The comparison of all there is; its rows are in `rows` as far as they are wanted.
    pub(super) whole: Diff,
    /// Rows before any were picked.
    pub(super) row_count: usize,
    /// Rows wanted, sorted.
    pub(super) rows: Vec<DiffRow>,
    stacks: Stacks,
}

/// Reads, groups and compares.
///
/// # Errors
///
/// When a snapshot cannot be read, or has not what is asked for.
pub(super) fn read(question: Question<'_>) -> Result<Sites<'_>, Failure> {
    let rows = question.rows;
    if rows.by == Some(By::Type) {
        return Err(Failure::usage(
            "`--by type`: heap profiles have stacks and no types; V8 heap snapshots have types: \
             `--by site`, `function`, `stack`, `module` or `kind`",
        ));
    }
    let rules = SiteRules { own: rows.own.clone(), ..SiteRules::default() };
    let reader = HeapReader::new(rules);
    let read = |path: &Path| -> Result<Reading, Failure> {
        let mut reading = reader.read_file(path)?;
        if rows.cumulative {
            reading.folded = group::cumulative(&reading.folded).ok_or_else(|| {
                Failure::usage(format!(
                    "`{}` does not count what was ever allocated: leave `--cumulative` out, or \
                     take it with such columns (jemalloc: `prof_accum:true`)",
                    path.display()
                ))
            })?;
        }
        Ok(reading)
    };
    let before = question.before.map(read).transpose()?;
    let after = read(question.after)?;
    let stacks = Stacks::of(before.as_ref(), &after, &rows.own);
    let nothing = Folded { interval_bytes: after.folded.interval_bytes, ..Folded::default() };
    let pair = (before.map_or(nothing, |before| before.folded), after.folded);
    Ok(compare(question, pair, stacks))
}

fn compare(question: Question<'_>, pair: (Folded, Folded), mut stacks: Stacks) -> Sites<'_> {
    let rows = question.rows;
    let mut whole = diff(&pair.0, &pair.1);
    let strangers = are_strangers(&pair.0, &pair.1);
    let by = rows.by.unwrap_or(if strangers { By::Function } else { By::Site });
    if strangers && rows.by.is_none() {
        let note = "no file of one is named in the other: compared by function";
        whole.notes.push(note.to_owned());
    }
    let grouped = |mut folded: Folded| {
        folded.sites.retain(|site| rows.wants_kind(site.kind));
        group::regroup(&folded, grouping(by), &stacks)
    };
    let pair = (grouped(pair.0), grouped(pair.1));
    let compared = diff(&pair.0, &pair.1);
    let row_count = compared.rows.len();
    let mut picked: Vec<DiffRow> = compared.rows;
    picked.retain(|row| {
        let stack: &[_] = if by == By::Stack { &row.stack } else { &[] };
        let frames = stack.iter().flat_map(|line| [line.function.as_str(), line.file.as_str()]);
        let names = [row.function.as_str(), row.file.as_str()].into_iter().chain(frames);
        rows.wants_size(&figures(row)) && rows.wants_name(names)
    });
    rows.sort(&mut picked, figures);
    let wanted: HashSet<&str> = picked.iter().map(|row| row.id.as_str()).collect();
    let sites = pair.0.sites.iter().chain(&pair.1.sites);
    let cells = sites.filter(|site| wanted.contains(site.id.as_str())).flat_map(|s| &s.cells);
    stacks.retain(&cells.map(|cell| cell.stack).collect());
    Sites { question, by, whole, row_count, rows: picked, stacks }
}

/// Two snapshots that have functions in common and no site: one of them names files otherwise.
fn are_strangers(before: &Folded, after: &Folded) -> bool {
    let ids: HashSet<&str> = before.sites.iter().map(|site| site.id.as_str()).collect();
    let functions: HashSet<&str> = before.sites.iter().map(|site| site.function.as_str()).collect();
    let own = || after.sites.iter().filter(|site| site.own);
    own().all(|site| !ids.contains(site.id.as_str()))
        && after.sites.iter().any(|site| functions.contains(site.function.as_str()))
        && own().next().is_some()
}

fn grouping(by: By) -> Grouping {
    match by {
        // Types are refused before.
        By::Site | By::Type => Grouping::Site,
        By::Function => Grouping::Function,
        By::Stack => Grouping::Stack,
        By::Module => Grouping::Module,
        By::Kind => Grouping::Kind,
    }
}

pub(super) fn figures(row: &DiffRow) -> Figures<'_> {
    Figures {
        name: &row.function,
        growth: row.bytes.value,
        before: row.before.live_bytes,
        after: row.after.live_bytes,
        objects: row.objects.as_ref().map_or(0.0, |objects| objects.value),
    }
}

impl Sites<'_> {
    /// What stands against trust in it.
    pub(super) fn notes(&self) -> &[String] {
        &self.whole.notes
    }

    /// The result in a form.
    pub(super) fn render(&self, form: HeapForm) -> Result<Vec<u8>, Failure> {
        let compared = self.question.before.is_some();
        let (name, tool) = (self.question.name(), concat!("ebb ", env!("CARGO_PKG_VERSION")));
        let title =
            Title { name: &name, compared, cumulative: self.question.rows.cumulative, tool };
        let stacks = &self.stacks;
        Ok(match form {
            HeapForm::Text => table::sites_text(self).into_bytes(),
            HeapForm::Json => table::sites_json(self).into_bytes(),
            HeapForm::Folded if compared => folded::before_and_after(stacks).into_bytes(),
            HeapForm::Folded => folded::after(stacks).into_bytes(),
            HeapForm::Growth if !compared => {
                return Err(Failure::usage(
                    "`growth` wants two snapshots: `ebb diff A B`, or `folded` of this one",
                ));
            }
            HeapForm::Growth => folded::growth(stacks).into_bytes(),
            HeapForm::Speedscope => speedscope::write(stacks, &title).into_bytes(),
            HeapForm::Svg => flamegraph::write(stacks, &title).into_bytes(),
            HeapForm::Pprof => pprof::write(stacks, &title),
        })
    }
}
