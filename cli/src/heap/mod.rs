//! What a heap snapshot holds, and what changed between two: `ebb show` and `ebb diff`. In: one
//! file or two, and which rows are wanted. Out: a table, a JSON document, or a file for another
//! tool. Reading, grouping and comparing are left to the profiler.

mod classes;
mod forms;
mod rows;
mod sites;
mod table;

pub(crate) use forms::{HeapForm, HeapReporting};
pub(crate) use rows::Rows;

use crate::failure::Failure;
use crate::output::Output;
use ebbtide_reports::text::clean;
use rows::By;
use std::path::Path;

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// The earlier snapshot, where two are compared.
    pub(crate) before: Option<&'a Path>,
    /// The later snapshot, or the one to show.
    pub(crate) after: &'a Path,
    /// Which rows, and in which order.
    pub(crate) rows: &'a Rows,
}

impl Question<'_> {
    /// Rows of stacks are asked for, and V8 has recorded them in each file.
    fn has_stacks_wanted(&self) -> bool {
        let wanted = matches!(self.rows.by, Some(By::Site | By::Function | By::Stack | By::Module));
        wanted && self.paths().all(classes::has_stacks)
    }

    /// The files, the earlier first.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.before.into_iter().chain([self.after])
    }

    /// What was looked at, for the head of a picture.
    fn name(&self) -> String {
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self.before {
            Some(before) => format!("{} to {}", name(before), name(self.after)),
            None => name(self.after),
        }
    }
}

/// An answer, of either family of snapshots.
enum Answer<'a> {
    /// Heap profiles: stacks, and the places that they lead to.
    Sites(Box<sites::Sites<'a>>),
    /// Whole V8 heaps: objects, and who keeps them.
    Classes(classes::Comparison<'a>),
}

/// Answers, and writes the reports that are wanted.
///
/// # Errors
///
/// When a snapshot cannot be read, the two have nothing in common, a row or a form is wanted that
/// such snapshots do not have, or a file cannot be written.
pub(crate) fn answer(
    question: Question<'_>,
    reporting: &HeapReporting,
    output: Output,
) -> Result<(), Failure> {
    reporting.check()?;
    let answer = match (question.before.map(classes::is_heap), classes::is_heap(question.after)) {
        // Timelines are heaps with the stacks of their allocations.
        (None | Some(true), true) if question.has_stacks_wanted() => {
            Answer::Sites(Box::new(sites::read(question)?))
        }
        (None | Some(true), true) => Answer::Classes(classes::read(question)?),
        (None | Some(false), false) => Answer::Sites(Box::new(sites::read(question)?)),
        (Some(before), _) => {
            let (heap, other) = match (before, question.before) {
                (true, Some(path)) => (path, question.after),
                (_, path) => (question.after, path.unwrap_or(question.after)),
            };
            let what = if classes::has_stacks(heap) {
                "an allocation timeline of V8"
            } else {
                "a V8 heap snapshot, which has objects by class and no stacks"
            };
            return Err(Failure::usage(format!(
                "`{}` is {what}, and `{}` is none: compare two of a kind (a V8 sampling profile \
                 has stacks and no classes)",
                heap.display(),
                other.display()
            )));
        }
    };
    let notes = match &answer {
        Answer::Sites(sites) => sites.notes().to_vec(),
        Answer::Classes(classes) => classes.notes(),
    };
    reporting.deliver(output, |form| match &answer {
        Answer::Sites(sites) => sites.render(form),
        Answer::Classes(classes) => classes.render(form),
    })?;
    for note in notes {
        output.say(&clean(&format!("note: {note}")));
    }
    Ok(())
}
