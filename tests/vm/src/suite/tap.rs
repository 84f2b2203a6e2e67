//! What the guest's output means: the suite's marks, TAP lines, and the verdict on a script. Pure.

/// Begins the lines by which the guest's side tells where a script begins and ends.
const MARK: &str = "weir-suite ";

/// One line of a guest's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A script begins.
    Begin(String),
    /// A script ended with this status, leaving behind what is named (nothing, if empty).
    End { status: u8, left: String },
    /// A check's result.
    Check(Check),
    /// Anything else.
    Other(String),
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) result: Verdict,
    pub(super) text: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Check {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { result: Verdict::Failed, text: text.into() }
    }
}

pub(super) fn read(line: &str) -> Line {
    if let Some(mark) = line.strip_prefix(MARK).and_then(read_mark) {
        return mark;
    }
    match read_check(line) {
        Some(check) => Line::Check(check),
        None => Line::Other(line.to_owned()),
    }
}

fn read_mark(mark: &str) -> Option<Line> {
    let (word, rest) = mark.split_once(' ')?;
    match word {
        "begin" => Some(Line::Begin(rest.to_owned())),
        "end" => {
            let (status, left) = rest.split_once(' ').unwrap_or((rest, ""));
            Some(Line::End { status: status.parse().ok()?, left: left.trim().to_owned() })
        }
        _ => None,
    }
}

/// `ok - TEXT`, `not ok 3 - TEXT`, `ok - TEXT # SKIP why`.
fn read_check(line: &str) -> Option<Check> {
    let (failed, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("ok")?),
    };
    let (number, text) = rest.split_once("- ")?;
    if !number.starts_with(' ') || !number.trim().chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let skipped = text.to_ascii_lowercase().contains("# skip");
    let result = match (failed, skipped) {
        (true, _) => Verdict::Failed,
        (false, true) => Verdict::Skipped,
        (false, false) => Verdict::Passed,
    };
    Some(Check { result, text: text.trim().to_owned() })
}

/// The failures that a script's end adds to those of its own checks.
/// A script whose checks failed is expected to end with another status than 0.
pub(super) fn at_end(
    checks: usize,
    failed: usize,
    status: u8,
    left: &str,
    limit: u64,
) -> Vec<Check> {
    let mut failures = Vec::new();
    match status {
        0 => {}
        1 if failed > 0 => {}
        124 | 137 => failures.push(Check::failed(format!("ends within {limit} s (it was killed)"))),
        status => failures.push(Check::failed(format!("exits with 0 (it was {status})"))),
    }
    if checks == 0 {
        failures.push(Check::failed("prints at least one check"));
    }
    if !left.is_empty() {
        failures.push(Check::failed(format!("leaves nothing behind (there was {left})")));
    }
    failures
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(result: Verdict, text: &str) -> Line {
        Line::Check(Check { result, text: text.into() })
    }

    #[test]
    fn lines_are_told_apart() {
        let cases = [
            ("ok - IPVS is there", check(Verdict::Passed, "IPVS is there")),
            ("ok 12 - a - b", check(Verdict::Passed, "a - b")),
            ("not ok - lost a packet", check(Verdict::Failed, "lost a packet")),
            ("not ok 2 - x # SKIP y", check(Verdict::Failed, "x # SKIP y")),
            ("ok - sctp # SKIP no module", check(Verdict::Skipped, "sctp # SKIP no module")),
            ("okay - not a check", Line::Other("okay - not a check".into())),
            ("ok then - no", Line::Other("ok then - no".into())),
            ("weir-suite begin drain", Line::Begin("drain".into())),
            ("weir-suite end 0 ", Line::End { status: 0, left: String::new() }),
            ("weir-suite end 1 netns: a", Line::End { status: 1, left: "netns: a".into() }),
            ("weir-suite end x", Line::Other("weir-suite end x".into())),
        ];
        for (line, want) in cases {
            assert_eq!(read(line), want, "{line}");
        }
    }

    #[test]
    fn silence_a_bad_status_and_leftovers_each_fail() {
        assert_eq!(at_end(3, 0, 0, "", 60), []);
        assert_eq!(at_end(3, 1, 1, "", 60), []);
        let failures = |checks, status, left| at_end(checks, 0, status, left, 60).len();
        assert_eq!(
            [
                failures(0, 0, ""),
                failures(1, 2, ""),
                failures(1, 0, "netns: a"),
                failures(0, 124, "x")
            ],
            [1, 1, 1, 3]
        );
    }

    proptest! {
        #[test]
        fn any_line_reads_without_a_panic(line in ".{0,80}", end in "weir-suite .{0,20}") {
            read(&line);
            read(&end);
        }
    }
}
