//! From the bytes of one file to objects and problems. Pure; never panics, whatever the bytes.

use std::path::Path;

use super::document::{Origin, read_document};
use super::limits::Limits;
use super::parsed::Parsed;
use super::pieces::{Piece, pieces};
use super::tree::{FromYaml, Tree, from_json};
use super::words::words;

/// How a file is written; its name says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.yaml` or `.yml`: documents between `---` lines.
    Yaml,
    /// `.json`: one value, or several one after another.
    Json,
}

impl Format {
    /// The format of a file of this name; `None` for files that are none of weir's business.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads what `bytes`, the contents of `file`, say. The name is used for words only.
#[must_use]
pub fn parse(file: &Path, format: Format, bytes: &[u8], limits: &Limits) -> Parsed {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits.file_bytes {
        let message = format!("is larger than {} bytes, the most that is read", limits.file_bytes);
        return Parsed::unreadable(file, message);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return not_utf8(file, bytes, error.valid_up_to()),
    };
    let mut reader = Reader::new(file, limits);
    match format {
        Format::Yaml => reader.yaml(text),
        Format::Json => reader.json(text),
    }
    reader.parsed.unknown |= reader.last_refused;
    reader.parsed
}

fn not_utf8(file: &Path, bytes: &[u8], valid: usize) -> Parsed {
    let line = 1 + bytes[..valid].iter().filter(|&&byte| byte == b'\n').count();
    let mut parsed = Parsed::default();
    parsed.lose(
        file,
        None,
        Some(line),
        format!("is not UTF-8: byte {valid} belongs to no character"),
    );
    parsed
}

struct Reader<'a> {
    file: &'a Path,
    limits: &'a Limits,
    values_left: usize,
    last_refused: bool,
    parsed: Parsed,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Path, limits: &'a Limits) -> Self {
        let parsed = Parsed::default();
        Self { file, limits, values_left: limits.values, last_refused: false, parsed }
    }

    fn yaml(&mut self, text: &str) {
        for piece in pieces(text) {
            match self.yaml_tree(&piece) {
                Ok(tree) => self.take(piece.number, piece.lines_before, &tree),
                Err((line, message)) => {
                    let line = line.map(|line| line + piece.lines_before);
                    self.parsed.lose(self.file, Some(piece.number), line, message);
                }
            }
        }
    }

    fn yaml_tree(&self, piece: &Piece<'_>) -> Result<Tree, (Option<usize>, String)> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            emit_comments: false,
            budget: serde_saphyr::budget! {
                max_events: self.values_left.saturating_mul(2),
                max_nodes: self.values_left,
                max_depth: self.limits.depth,
                flow_nesting_limit: self.limits.depth,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: self.limits.alias_values.min(self.values_left),
            },
        };
        let tree: Result<FromYaml, _> = serde_saphyr::from_str_with_options(piece.text, options);
        tree.map(Tree::from).map_err(|error| words(&error, self.limits))
    }

    fn json(&mut self, text: &str) {
        let mut values = serde_json::Deserializer::from_str(text);
        for number in 1.. {
            if values.end().is_ok() {
                return;
            }
            match from_json(&mut values, self.limits, self.values_left) {
                Ok(tree) => self.take(number, 0, &tree),
                Err(error) => {
                    let text = error.to_string();
                    let place = format!(" at line {} column {}", error.line(), error.column());
                    let message = text.strip_suffix(&place).unwrap_or(&text);
                    let line = Some(error.line()).filter(|&line| line > 0);
                    return self.parsed.lose(self.file, Some(number), line, message);
                }
            }
        }
    }

    fn take(&mut self, document: usize, lines_before: usize, tree: &Tree) {
        let Some(left) = self.values_left.checked_sub(tree.count()) else {
            let message = format!("the file holds more than {} values", self.limits.values);
            self.values_left = 0;
            return self.parsed.lose(self.file, Some(document), None, message);
        };
        self.values_left = left;
        let origin = Origin { file: self.file, document, lines_before };
        let refused_before = self.parsed.refused.len();
        read_document(tree, &origin, &mut self.parsed);
        self.last_refused = self.parsed.refused.len() > refused_before;
    }
}
