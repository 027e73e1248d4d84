//! A site explained on a terminal: its word, the ladder of evidence, its series as a line of
//! bars, its stack, the likely cause with its cure, and what to do next. In: a case. Out: text
//! with a line end. What is said is left to `explain`.

use super::Style;
use super::clean;
use super::table::{Paint, shortened, wrapped};
use crate::explain::{Bearing, Case, Cure, Explanation, Likely, Onward, Rung};
use crate::figures;
use crate::finding::{self, Tone};
use ebbtide_record::verdict::FrameLine;
use std::fmt::Write as _;

/// Frames looked at; deeper ones are those of a runtime.
const FRAMES_MAX: usize = 200;
/// The column at which the sentence of a rung begins.
const RUNG_INDENT: usize = 17;
/// Points drawn of a series: as many as fit beside its ends.
const BARS_MAX: usize = 64;
/// The eight heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Explains one site.
#[must_use]
pub fn explain(case: &Case<'_>, style: Style<'_>) -> String {
    let explanation = Explanation::of(case);
    let mut out = head(case, explanation.likely.as_ref(), style);
    out.push_str(&ladder(&explanation.rungs, style));
    out.push_str(&series(&case.site.series, style));
    out.push_str(&stack(&case.site.stack, style));
    if let (Some(likely), Some(cure)) = (&explanation.likely, &explanation.cure) {
        out.push_str(&cause(likely, cure, style));
    }
    out.push_str(&onward(&explanation.onward, style));
    out
}

fn head(case: &Case<'_>, likely: Option<&Likely>, style: Style<'_>) -> String {
    let site = case.site;
    let word = site.verdict.key().to_uppercase().replace('_', " ");
    let indent = 2 + word.len() + 2;
    let room = style.width().saturating_sub(indent);
    let place = finding::place(&site.function, &site.file, site.line);
    let from = match site.kind_from.as_str() {
        "" => String::new(),
        from => format!(" (by the {from})"),
    };
    let objects = site
        .live_objects
        .map_or_else(String::new, |objects| format!(" in {} objects", figures::count(objects)));
    let facts = format!(
        "kind {}{from}; {} live{objects}; site {}",
        site.kind.words(),
        figures::bytes(site.live_bytes as f64),
        site.id
    );
    let painted = style.paint(Paint::of(Tone::of(site.verdict)), &word);
    let place = style.paint(Paint::Strong, &shortened(&clean(&place), room));
    let mut out = format!("\n  {painted}  {place}\n");
    for line in wrapped(&clean(&facts), room) {
        let _ = writeln!(out, "{:indent$}{}", "", style.paint(Paint::Quiet, &line));
    }
    if let Some(likely) = likely {
        let _ = writeln!(out, "{:indent$}likely cause: {}", "", likely.cause.words());
    }
    for reason in site.reasons.iter().filter(|reason| !is_on_the_ladder(reason, case)) {
        out.push_str(&bullet(reason, indent, style));
    }
    out
}

/// A reason that a rung tells with more numbers.
fn is_on_the_ladder(reason: &str, case: &Case<'_>) -> bool {
    let evidence = &case.site.evidence;
    (reason.starts_with("replayed input makes it grow") && evidence.on_new.is_some())
        || (reason.starts_with("the census counts") && evidence.census.is_some())
}

/// A sentence behind a dash, its further lines under its first word.
fn bullet(sentence: &str, indent: usize, style: Style<'_>) -> String {
    let room = style.width().saturating_sub(indent + 2);
    let mut out = String::new();
    for (place, line) in wrapped(&clean(sentence), room).iter().enumerate() {
        let sign = if place == 0 { "- " } else { "  " };
        let _ = writeln!(out, "{:indent$}{sign}{line}", "");
    }
    out
}

fn ladder(rungs: &[Rung], style: Style<'_>) -> String {
    let mut out = style.heading("evidence");
    let legend = "+ speaks for a leak, - against one, ? could not be told";
    let _ = writeln!(out, "  {}", style.paint(Paint::Quiet, legend));
    let room = style.width().saturating_sub(RUNG_INDENT);
    for rung in rungs {
        let paint = match rung.bearing {
            Bearing::For => Paint::Bad,
            Bearing::Against => Paint::Good,
            Bearing::Open => Paint::Doubt,
            Bearing::Neither => Paint::Plain,
        };
        let sign = style.paint(paint, &rung.bearing.sign().to_string());
        for (place, line) in wrapped(&clean(&rung.says), room).iter().enumerate() {
            let _ = match place {
                0 => writeln!(out, "  {sign} {:<12} {line}", rung.name),
                _ => writeln!(out, "{:RUNG_INDENT$}{line}", ""),
            };
        }
    }
    out
}

fn series(series: &[f64], style: Style<'_>) -> String {
    let (Some(first), Some(last)) = (series.first(), series.last()) else {
        return String::new();
    };
    let mut out = style.heading("live bytes at each snapshot");
    let _ = writeln!(
        out,
        "  {}  {} at first, {} at last",
        bars(series),
        figures::bytes(*first),
        figures::bytes(*last)
    );
    out
}

/// Values as bars from 0 on; of a series too long for a line, every so-manieth.
#[must_use]
pub fn bars(values: &[f64]) -> String {
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = values.len().div_ceil(BARS_MAX).max(1);
    // Counted from the end, so that the last value is always one of them.
    let mut drawn: Vec<char> = values
        .iter()
        .rev()
        .step_by(step)
        .map(|value| {
            let height = (value / top * (BARS.len() - 1) as f64).round();
            BARS[(height.max(0.0) as usize).min(BARS.len() - 1)]
        })
        .collect();
    drawn.reverse();
    drawn.into_iter().collect()
}

fn stack(stack: &[FrameLine], style: Style<'_>) -> String {
    if stack.is_empty() {
        return String::new();
    }
    let mut out = style.heading("stack, the allocating end first (> your own code)");
    let room = style.width().saturating_sub(4);
    let foreign = stack.iter().all(|frame| !frame.own);
    let mut hidden = 0;
    for (at, frame) in stack.iter().enumerate().take(FRAMES_MAX) {
        // Of a run of frames of libraries the one that own code calls says what is asked for.
        let called = stack.get(at + 1).is_some_and(|caller| caller.own);
        if !(frame.own || called || foreign) {
            hidden += 1;
            continue;
        }
        out.push_str(&left_out(&mut hidden, style));
        let place = finding::place(&frame.function, &frame.file, frame.line);
        let place = shortened(&clean(&place), room);
        let (sign, paint) = if frame.own { ('>', Paint::Strong) } else { (' ', Paint::Quiet) };
        let _ = writeln!(out, "  {sign} {}", style.paint(paint, &place));
    }
    hidden += stack.len().saturating_sub(FRAMES_MAX);
    out.push_str(&left_out(&mut hidden, style));
    out
}

/// A line for the frames left out since the last one shown.
fn left_out(hidden: &mut usize, style: Style<'_>) -> String {
    match std::mem::take(hidden) {
        0 => String::new(),
        1 => format!("    {}\n", style.paint(Paint::Quiet, "… 1 frame of a library")),
        n => format!("    {}\n", style.paint(Paint::Quiet, &format!("… {n} frames of libraries"))),
    }
}

fn cause(likely: &Likely, cure: &Cure, style: Style<'_>) -> String {
    let mut out = style.heading(&format!("likely cause: {}", likely.cause.words()));
    for why in &likely.because {
        out.push_str(&bullet(why, 2, style));
    }
    out.push_str(&paragraph(cure.wrong, style));
    out.push_str(&style.heading("cure"));
    out.push_str(&paragraph(cure.mend, style));
    let _ = writeln!(out, "  look for:");
    for place in cure.look {
        out.push_str(&bullet(place, 2, style));
    }
    for example in &cure.examples {
        let name = example.language.name();
        for (what, code) in [("leaks", example.leaks), ("mended", example.mended)] {
            let _ = writeln!(out, "\n  {}", style.paint(Paint::Quiet, &format!("{name}, {what}:")));
            for line in code.lines() {
                // Not wrapped: code that is broken anew is no longer that code.
                let _ = writeln!(out, "{}", format!("    {line}").trim_end());
            }
        }
    }
    out
}

fn paragraph(text: &str, style: Style<'_>) -> String {
    let lines = wrapped(&clean(text), style.width() - 2);
    lines.iter().fold(String::new(), |out, line| format!("{out}  {line}\n"))
}

fn onward(steps: &[Onward], style: Style<'_>) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut out = style.heading("next");
    for step in steps {
        out.push_str(&paragraph(&step.purpose, style));
        for line in step.command.lines() {
            let _ = writeln!(out, "    {}", style.paint(Paint::Strong, &clean(line)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_last_value() {
        assert_eq!(bars(&[0.0, 1.0, 2.0]), "▁▅█");
        assert_eq!(bars(&[]), "");
        let long: Vec<f64> = (0..1_000).map(f64::from).collect();
        let drawn = bars(&long);
        assert!(drawn.chars().count() <= BARS_MAX && drawn.ends_with('█'), "{drawn}");
    }
}
