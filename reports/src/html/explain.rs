//! What a growing site most likely is, and its cure, for the fold-out of the site.
//! In: a case. Out: markup.
//! What is said is left to `explain`, and the evidence in short to `memory`.

use super::markup::{escaped, list};
use crate::explain::{Case, Explanation, Onward, Rung};
use std::fmt::Write as _;

/// The ladder of evidence, the likely cause, the cure, what is next; nothing but the ladder for
/// what does not grow.
pub(super) fn markup(case: &Case<'_>) -> String {
    let explanation = Explanation::of(case);
    let mut out = ladder(&explanation.rungs);
    if let (Some(likely), Some(cure)) = (&explanation.likely, &explanation.cure) {
        let _ = write!(
            out,
            "<h3>Likely cause: {}</h3>{}<p>{}.</p>\n<h3>Cure</h3><p>{}. Look for:</p>{}",
            escaped(likely.cause.words()),
            list(&likely.because),
            escaped(&capital(cure.wrong)),
            escaped(&capital(cure.mend)),
            list(&cure.look.iter().map(|place| (*place).to_owned()).collect::<Vec<_>>())
        );
        for example in &cure.examples {
            let name = example.language.name();
            let _ = writeln!(
                out,
                "<details><summary>{name}: leaks, and mended</summary>\
                 <p class=\"soft\">leaks</p><pre>{}</pre><p class=\"soft\">mended</p><pre>{}</pre>\
                 </details>",
                escaped(example.leaks),
                escaped(example.mended)
            );
        }
    }
    out + &onward(&explanation.onward)
}

fn ladder(rungs: &[Rung]) -> String {
    let told: Vec<String> = rungs
        .iter()
        .map(|rung| format!("{} {}: {}", rung.bearing.sign(), rung.name, rung.says))
        .collect();
    format!(
        "<h3>Evidence, rung by rung</h3>\
         <p class=\"soft\">+ speaks for a leak, - against one, ? could not be told.</p>{}",
        list(&told)
    )
}

fn onward(steps: &[Onward]) -> String {
    let mut out = String::new();
    for step in steps {
        let purpose = escaped(&capital(&step.purpose));
        let _ = writeln!(out, "<p>{purpose}:</p><pre>{}</pre>", escaped(&step.command));
    }
    if out.is_empty() { out } else { format!("<h3>Next</h3>{out}") }
}

/// The words with a capital at their begin.
pub(super) fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
