//! What is wrong with a configuration, and what a reader of it should know; both name the field. Pure.

use std::fmt;
use std::path::PathBuf;

/// One step from the root of a document to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// Where a field is in its document: `policies[1].limits.fuel`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// This path and one step more.
    #[must_use]
    pub fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Puts a step before the first one.
    pub(super) fn prepend(&mut self, step: Step) {
        self.0.insert(0, step);
    }

    /// Reads what `Display` writes, for paths that the program names itself.
    pub(super) fn known(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (key, index) = part.split_once('[').unwrap_or((part, ""));
            steps.push(Step::Key(key.to_owned()));
            if let Ok(index) = index.trim_end_matches(']').parse() {
                steps.push(Step::Index(index));
            }
        }
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A value that can be read but not be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) path: FieldPath,
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(path: &str, text: impl Into<String>) -> Self {
        Self { path: FieldPath::known(path), text: text.into() }
    }
}

/// One thing that is wrong: `weir.yaml:7: ipvs.scheduler: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the configuration came from, if from a file.
    pub file: Option<PathBuf>,
    /// The line in it, from 1; `None` where the value came from a flag or is missing altogether.
    pub line: Option<u64>,
    /// The field; empty where the document itself is wrong.
    pub path: FieldPath,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.path.steps().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration; at least one error, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// The errors in the order of their lines.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }

    pub(super) fn one(file: Option<PathBuf>, line: Option<u64>, text: impl Into<String>) -> Self {
        let path = FieldPath::default();
        Self(vec![ConfigError { file, line, path, text: text.into() }])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Why a field of a kube-proxy file isn't taken as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// It has no meaning here, and never will.
    Ignored,
    /// It is taken, and means something a little different here.
    Changed,
    /// It says nothing, and kube-proxy's default for that isn't weir's.
    Default,
    /// Nothing is known about a field of this name.
    Unknown,
}

impl NoticeKind {
    /// Whether the file doesn't get all that it asks for.
    #[must_use]
    pub fn is_loss(self) -> bool {
        self != Self::Default
    }

    /// For logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Changed => "changed",
            Self::Default => "kube-proxy's default",
            Self::Unknown => "unknown",
        }
    }
}

/// Something to know about a configuration that is taken: `ipvs.excludeCIDRs is ignored: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The line, from 1.
    pub line: Option<u64>,
    /// The field.
    pub path: FieldPath,
    /// What became of it.
    pub kind: NoticeKind,
    /// Why.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{} is {}: {}", self.path, self.kind.as_str(), self.text)
    }
}

/// The name that was probably meant: the likest of `names`, if one is alike enough.
pub(super) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_lowercase();
    let alike = |name: &'a str| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name);
    let best = names.into_iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_named() {
        let names = ["scheduler", "strictARP", "tcpTimeout", "udpTimeout"];
        let cases = [
            ("schedular", Some("scheduler")),
            ("strictArp", Some("strictARP")),
            ("tcp_timeout", Some("tcpTimeout")),
            ("masquerade", None),
            ("", None),
        ];
        for (written, want) in cases {
            assert_eq!(nearest(written, names), want, "{written}");
        }
    }

    #[test]
    fn known_paths_read_back() {
        for text in ["ipvs", "ipvs.scheduler", "policies[12].limits.fuel"] {
            assert_eq!(FieldPath::known(text).to_string(), text);
        }
    }
}
