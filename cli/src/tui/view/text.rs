//! Text that has to fit: cut at its end, or a place in the code shortened where it says least.
//! Widths are counted in characters, since names of functions and files are all but always ASCII.
//! In: text and a width. Out: text that is no wider.

/// Cuts `text` to `width` characters and marks the cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Fits `function (file:line)` into `width`: the folders of the file go first, then the outer
/// modules of the function, then its end.
pub(super) fn fit_place(place: &str, width: usize) -> String {
    if place.chars().count() <= width {
        return place.to_owned();
    }
    let Some((function, file)) = place.rsplit_once(" (") else {
        return cut(inner(place, width), width);
    };
    let file = file.trim_end_matches(')');
    let file = file.rsplit('/').next().unwrap_or(file);
    let room = width.saturating_sub(file.chars().count() + 3);
    format!("{} ({file})", cut(inner(function, room), room.max(4)))
}

/// The function without as many of its outer modules as it takes.
fn inner(function: &str, width: usize) -> &str {
    let mut rest = function;
    while rest.chars().count() > width {
        // A path in angle brackets is not a module.
        match rest.split_once("::").filter(|(outer, _)| !outer.contains('<')) {
            Some((_, inner)) => rest = inner,
            None => break,
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shortened_where_it_says_least() {
        let place = "server::hub::Hub::subscribe (server/src/hub.rs:120)";
        for (width, expected) in [
            (60, place),
            (42, "server::hub::Hub::subscribe (hub.rs:120)"),
            (33, "hub::Hub::subscribe (hub.rs:120)"),
            (24, "subscribe (hub.rs:120)"),
            (18, "subs… (hub.rs:120)"),
        ] {
            assert_eq!(fit_place(place, width), expected, "{width}");
        }
        assert_eq!(fit_place("<a::B as c::D>::run", 9), "<a::B as…");
    }
}
