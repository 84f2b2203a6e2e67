//! Splits a YAML file into its documents, so that a wrong one doesn't take the others with it. Pure.

/// One document of a YAML file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Counted from 1; what stands before the first `---` counts only if something stands there.
    pub(super) number: usize,
    /// How many lines of the file come before it.
    pub(super) lines_before: usize,
    /// Its text, the line with its `---` included.
    pub(super) text: &'a str,
}

/// The documents that have something in them.
///
/// `---` and `...` at the start of a line are never part of a value (YAML 1.2.2, 9.1.2).
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut split = Split { text, pieces: Vec::new(), number: 0, start: 0, start_line: 0 };
    let mut at = 0;
    for (line_number, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line, "---") {
            split.cut(at, line_number);
        }
        at += line.len();
        if is_marker(line, "...") {
            split.cut(at, line_number + 1);
        }
    }
    split.cut(text.len(), 0);
    split.pieces
}

struct Split<'a> {
    text: &'a str,
    pieces: Vec<Piece<'a>>,
    number: usize,
    start: usize,
    start_line: usize,
}

impl Split<'_> {
    /// Ends a piece at byte `at`; the next starts there, on the line of index `line`.
    fn cut(&mut self, at: usize, line: usize) {
        let text = &self.text[self.start..at];
        let filled = !text.lines().all(is_blank);
        self.number += usize::from(filled || text.starts_with("---"));
        if filled {
            self.pieces.push(Piece { number: self.number, lines_before: self.start_line, text });
        }
        (self.start, self.start_line) = (at, line);
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    let rest = line.strip_prefix(marker);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Nothing, a comment, a directive, or a bare marker.
fn is_blank(line: &str) -> bool {
    let marked = ["---", "..."].into_iter().find(|marker| is_marker(line, marker));
    let rest = marked.map_or(line, |marker| &line[marker.len()..]);
    let content = rest.trim_start();
    content.is_empty() || content.starts_with('#') || (marked.is_none() && line.starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_as_a_reader_would() {
        type Want<'a> = &'a [(usize, usize, &'a str)];
        let cases: [(&str, Want<'_>); 9] = [
            ("", &[]),
            ("# nothing\n\n", &[]),
            ("a: 1", &[(1, 0, "a: 1")]),
            ("---\na: 1\n---\nb: 2\n", &[(1, 0, "---\na: 1\n"), (2, 2, "---\nb: 2\n")]),
            ("a: 1\n---\n# empty\n---\nb: 2\n", &[(1, 0, "a: 1\n"), (3, 3, "---\nb: 2\n")]),
            ("%YAML 1.2\n---\r\na: 1\r\n", &[(1, 1, "---\r\na: 1\r\n")]),
            ("a: 1\n...\n# end\n---\nb: 2\n", &[(1, 0, "a: 1\n...\n"), (2, 3, "---\nb: 2\n")]),
            ("--- {a: 1}\n", &[(1, 0, "--- {a: 1}\n")]),
            ("a: |\n  text\n  ---\n---x: 1\n", &[(1, 0, "a: |\n  text\n  ---\n---x: 1\n")]),
        ];
        for (text, want) in cases {
            let got = pieces(text);
            let got: Vec<_> = got.iter().map(|p| (p.number, p.lines_before, p.text)).collect();
            assert_eq!(got, want, "{text:?}");
        }
    }
}
