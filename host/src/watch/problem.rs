//! What is wrong with an object or with the file that it stands in, in words for an operator. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong, and where.
///
/// Printed in one line, leaving out what isn't known:
/// `web.yaml: document 2, line 14: Service shop/web: spec.ports[1].port: 0 is not a port (1 to 65535)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file or directory; `None` where the object came from an API server.
    pub file: Option<PathBuf>,
    /// The document in the file, counted from 1.
    pub document: Option<usize>,
    /// The line in the file, counted from 1; JSON gives it for syntax errors only.
    pub line: Option<usize>,
    /// Kind and name of the object, as far as they can be read.
    pub object: Option<String>,
    /// The field, as `spec.ports[1].port`.
    pub field: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// Whether an earlier, good version of the object stays in use.
    pub kept_last_good: bool,
    /// Whether somebody has refused to show what weir can't do without: asked the same way again, he will
    /// refuse again.
    pub is_refusal: bool,
}

impl Problem {
    /// The namespace of the object, as far as it can be read; else empty.
    #[must_use]
    pub fn namespace(&self) -> &str {
        let name = self.object.as_deref().and_then(|object| object.rsplit_once(' '));
        let name = name.and_then(|(_, name)| name.split_once('/'));
        name.map_or("", |(namespace, _)| namespace)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        match (self.document, self.line) {
            (Some(document), Some(line)) => write!(f, "document {document}, line {line}: ")?,
            (Some(document), None) => write!(f, "document {document}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)?;
        if self.kept_last_good {
            f.write_str(" (the last good version stays in use)")?;
        }
        Ok(())
    }
}

/// What changed about the problems of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// New problems. Each is told once, until it was mended and came back.
    pub appeared: Vec<Problem>,
    /// Problems told earlier that are no more.
    pub mended: Vec<Problem>,
    /// How many objects there are by now of each kind that weir has no use for, as `apps/v1 Deployment`;
    /// `None` where that is as it was told last.
    pub ignored: Option<BTreeMap<String, usize>>,
}

impl Report {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.appeared.is_empty() && self.mended.is_empty() && self.ignored.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_problem_it_is() {
        let of = |object: Option<&str>| {
            let problem = Problem { object: object.map(str::to_owned), ..Problem::default() };
            problem.namespace().to_owned()
        };
        assert_eq!(of(Some("Service shop/web")), "shop");
        assert_eq!(of(Some("EndpointSlice shop/web-1")), "shop");
        for other in [Some("Node n1"), Some("API server, Service"), Some("items[3]"), None] {
            assert_eq!(of(other), "", "{other:?}");
        }
    }
}
