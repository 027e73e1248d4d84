//! Markup that cannot be broken out of: text is escaped where it goes in, and nowhere else is
//! text put into a page. In go words and cells, out goes HTML. What a run is, is not known here;
//! what the tables say is left to the sections.

/// Text between tags or inside a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A place in code: the function as code, its file and line in small print below.
pub(super) fn code_place(function: &str, file: &str, line: u32) -> String {
    let at = match (file, line) {
        ("", _) => String::new(),
        (file, 0) => format!("<small>{}</small>", escaped(file)),
        (file, line) => format!("<small>{}:{line}</small>", escaped(file)),
    };
    format!("<code>{}</code>{at}", escaped(function))
}

/// A cell of a table: its class, and what is in it, escaped already.
pub(super) struct Cell {
    class: &'static str,
    markup: String,
}

impl Cell {
    /// Words.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self { class: "", markup: escaped(text.as_ref()) }
    }

    /// A figure, from the right.
    pub(super) fn figure(text: impl AsRef<str>) -> Self {
        Self { class: "num", markup: escaped(text.as_ref()) }
    }

    /// Markup that was escaped where it was made.
    pub(super) fn markup(class: &'static str, markup: String) -> Self {
        Self { class, markup }
    }

    fn html(&self, tag: &str, scope: &str) -> String {
        let class = if self.class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{}\"", self.class)
        };
        format!("<{tag}{class}{scope}>{}</{tag}>", self.markup)
    }
}

/// A row.
pub(super) fn row(cells: &[Cell]) -> String {
    let cells: String = cells.iter().map(|cell| cell.html("td", "")).collect();
    format!("<tr>{cells}</tr>\n")
}

/// A table from its heads (those of figures begin with `#`) and its finished rows.
pub(super) fn table(caption: &str, heads: &[&str], rows: &str) -> String {
    let heads: String = heads
        .iter()
        .map(|head| {
            let cell = head.strip_prefix('#').map_or_else(|| Cell::text(head), Cell::figure);
            cell.html("th", " scope=\"col\"")
        })
        .collect();
    let caption = match caption {
        "" => String::new(),
        caption => format!("<caption>{}</caption>", escaped(caption)),
    };
    format!(
        "<div class=\"scroll\"><table>{caption}<thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// A list with one point for each of `points`, or nothing.
pub(super) fn list(points: &[String]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let points: String =
        points.iter().map(|point| format!("<li>{}</li>", escaped(point))).collect();
    format!("<ul>{points}</ul>\n")
}

/// JSON as the content of a `script` element: no `<` is left, so no tag can begin or end in it.
pub(super) fn json_in_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escaped("</td><script>'\"&\u{1b}"),
            "&lt;/td&gt;&lt;script&gt;&#39;&quot;&amp;\u{fffd}"
        );
        assert_eq!(json_in_script("\"</script><!--\""), "\"\\u003c/script>\\u003c!--\"");
        assert_eq!(
            row(&[Cell::text("<"), Cell::figure("1")]),
            "<tr><td>&lt;</td><td class=\"num\">1</td></tr>\n"
        );
    }
}
