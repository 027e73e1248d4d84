//! Collapsed stacks, as many tools write them. In: text, with and without places of functions.
//! Out: a profile of bytes alone, and the number of a line that is wrong.
//! What is no such text is met in `strangers`.

use crate::hostile;
use ebbtide_profiler::profile::Form;
use ebbtide_profiler::{SiteRules, Symbolizer, parse, site};

const TEXT: &str = "\
main (/srv/app/src/main.rs:9);serve (/srv/app/src/serve.rs:20);keep (/srv/app/src/keep.rs:7) 4096

main (/srv/app/src/main.rs:9);other thing;<T as Trait>::call 12.5\r
main (/srv/app/src/main.rs:9) 1
";

#[test]
fn stacks_are_read_from_the_inside_out() {
    let profile = parse::read(TEXT.as_bytes()).unwrap();
    assert_eq!(profile.form, Some(Form::Collapsed));
    let cells: Vec<_> = profile.stacks.iter().map(|stack| stack.cell).collect();
    let bytes: Vec<f64> = cells.iter().map(|cell| cell.live_bytes).collect();
    assert_eq!(bytes, [4_096.0, 12.5, 1.0]);
    assert!(cells.iter().all(|cell| cell.live_objects.is_none() && cell.alloc_bytes.is_none()));
    assert!(profile.notes[0].contains("do not say what they count"), "{:?}", profile.notes);
    let innermost = |stack: usize| {
        let at = profile.stacks[stack].frames[0] as usize;
        let frame = &profile.locations[at].frames[0];
        (frame.function.as_str(), frame.file.as_str(), frame.line)
    };
    assert_eq!(innermost(0), ("keep", "/srv/app/src/keep.rs", 7));
    assert_eq!(innermost(1).0, "<T as Trait>::call");
    assert_eq!(profile.stacks[0].frames.len(), 3);
    let symbols = Symbolizer::new().resolve(&profile);
    let folded = site::fold(&profile, &symbols, &SiteRules::default());
    assert_eq!((folded.sites[0].function.as_str(), folded.live_objects), ("keep", None));
    hostile::survives("collapsed", TEXT.as_bytes());
}

#[test]
fn a_bad_line_is_named() {
    for (text, word) in [("a;b 1\na;c\n", "line 2"), ("a;b 1\na;c -3\n", "line 2")] {
        let error = parse::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("frame;frame number"), "{error}");
    }
}
