//! A flame graph as one SVG file, for a browser and without network: callers above, what they
//! call below. Of two snapshots red is growth and blue is what went. In: stacks. Out: SVG with a
//! few lines of script: a click zooms, another on the top row goes back, `search` marks.

use super::flame::{self, Flame, Frame};
use super::{Title, whole};
use crate::stacks::Stacks;
use std::fmt::Write;

/// Width of the picture, pixels.
const WIDTH: f64 = 1_200.0;
/// Left and right of the boxes.
const MARGIN: f64 = 10.0;
/// Height of a row.
const ROW: f64 = 18.0;
/// Room above the boxes.
const HEAD: f64 = 62.0;
/// Room below the boxes, where the words of the box under the pointer stand.
const FOOT: f64 = 34.0;
/// Width of a letter, of which as many are written as fit.
const LETTER: f64 = 6.7;

const STYLE: &str = "text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1c1c1c}\
     .title{font-size:15px;font-weight:600}.f{cursor:pointer}.f:hover rect{stroke:#000}\
     .f rect{stroke:#fff;stroke-width:.6}.f.up rect{opacity:.55}.f.hit rect{stroke:#7a0bc0;\
     stroke-width:2}.act{cursor:pointer;text-decoration:underline}";

/// The script: `x` and `w` of each box are its place in the whole, from 0 to 1.
const SCRIPT: &str = include_str!("flamegraph.js");

/// The picture.
#[must_use]
pub fn write(stacks: &Stacks, title: &Title<'_>) -> String {
    let flame = flame::lay_out(stacks);
    let height = HEAD + flame.rows.max(1) as f64 * ROW + FOOT;
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{name}</title>\n\
         <desc>{tool}</desc>\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"22\">{name}</text>\n\
         <text x=\"{MARGIN}\" y=\"40\">{legend}</text>\n\
         <text class=\"act\" id=\"reset\" x=\"{right}\" y=\"22\" text-anchor=\"end\">\
         reset zoom</text>\n\
         <text class=\"act\" id=\"search\" x=\"{search}\" y=\"22\" text-anchor=\"end\">\
         search</text>\n\
         <text id=\"found\" x=\"{right}\" y=\"40\" text-anchor=\"end\"> </text>\n",
        name = escaped(title.name),
        tool = escaped(title.tool),
        legend = escaped(&legend(&flame, title)),
        right = WIDTH - MARGIN,
        search = WIDTH - MARGIN - 90.0,
    );
    for frame in &flame.frames {
        box_of(&mut svg, frame, title);
    }
    let _ = write!(
        svg,
        "<text id=\"told\" x=\"{MARGIN}\" y=\"{y}\"> </text>\n<script><![CDATA[\n{SCRIPT}]]>\
         </script>\n</svg>\n",
        y = height - 12.0
    );
    svg
}

fn legend(flame: &Flame, title: &Title<'_>) -> String {
    let Some(all) = flame.frames.first() else { return "no stack to show".to_owned() };
    let what = if title.cumulative { "allocated" } else { "live" };
    let mut text = if title.compared {
        format!(
            "{what} {} to {} ({}): red grew, blue shrank; a box is as wide as the larger of both",
            bytes(all.before),
            bytes(all.after),
            signed(all.after - all.before)
        )
    } else {
        format!("{what} {}: own code dark, libraries light", bytes(all.after))
    };
    if flame.narrow > 0 {
        let _ = write!(text, "; {} boxes too narrow to draw", flame.narrow);
    }
    text
}

fn box_of(svg: &mut String, frame: &Frame, title: &Title<'_>) {
    let inside = WIDTH - 2.0 * MARGIN;
    let (x, width) = (MARGIN + frame.left * inside, frame.width * inside);
    let y = HEAD + frame.depth as f64 * ROW;
    let fit = ((width - 6.0) / LETTER).max(0.0) as usize;
    let _ = writeln!(
        svg,
        "<g class=\"f\" data-x=\"{:.7}\" data-w=\"{:.7}\" data-d=\"{}\" data-n=\"{}\">\
         <title>{}</title>\
         <rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{h}\" fill=\"{}\"/>\
         <text x=\"{tx:.2}\" y=\"{ty}\">{}</text></g>",
        frame.left,
        frame.width,
        frame.depth,
        escaped(&frame.function),
        escaped(&told(frame, title)),
        colour(frame, title),
        escaped(&fitting(&frame.function, fit)),
        h = ROW - 1.0,
        tx = x + 3.0,
        ty = y + 12.5,
    );
}

/// As much of a name as fits; the script does the same after a zoom.
fn fitting(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    if letters < 3 {
        return String::new();
    }
    name.chars().take(letters - 1).chain(['…']).collect()
}

fn told(frame: &Frame, title: &Title<'_>) -> String {
    let place = if frame.file.is_empty() {
        frame.function.clone()
    } else {
        format!("{} ({})", frame.function, frame.file)
    };
    if title.compared {
        let grown = frame.after - frame.before;
        format!("{place}: {} to {}, {}", bytes(frame.before), bytes(frame.after), signed(grown))
    } else {
        format!("{place}: {}", bytes(frame.after))
    }
}

/// Full colour where all is new or all went, none where nothing changed.
fn colour(frame: &Frame, title: &Title<'_>) -> String {
    if !title.compared {
        let (hue, light) = if frame.own { (28, 62) } else { (40, 86) };
        return format!("hsl({hue},82%,{light}%)");
    }
    let larger = frame.before.max(frame.after);
    let share = if larger > 0.0 { (frame.after - frame.before) / larger } else { 0.0 };
    let hue = if share >= 0.0 { 6 } else { 212 };
    let (strength, light) = (85.0 * share.abs().sqrt(), 93.0 - 35.0 * share.abs());
    format!("hsl({hue},{strength:.0}%,{light:.0}%)")
}

fn signed(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "+" };
    format!("{sign}{}", bytes(value.abs()))
}

/// Bytes as a person reads them.
fn bytes(value: f64) -> String {
    let mut size = value;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1_000.0 {
            break;
        }
        size /= 1_024.0;
        unit = larger;
    }
    if unit == "B" { format!("{} B", whole(size)) } else { format!("{size:.1} {unit}") }
}

/// Text inside XML: its five signs written out, and without control characters, which XML has no
/// way to write.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
