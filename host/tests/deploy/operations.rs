//! Every weir command that the guides name parses, and every file of deploy/ that they name is there.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use weir::args::Cli;

const GUIDES: [&str; 1] = ["docs/operations.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn guide(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The lines of code blocks, those that end in a backslash joined with the next.
fn code(text: &str) -> Vec<String> {
    let (mut lines, mut inside, mut open) = (Vec::new(), false, String::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            match line.strip_suffix('\\') {
                Some(begun) => open.push_str(begun),
                None => lines.push(std::mem::take(&mut open) + line),
            }
        }
    }
    lines
}

/// What is written between backquotes within lines of prose.
fn quoted(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2);
    let spans = prose.flat_map(|it| it.split('`').skip(1).step_by(2));
    let spans = spans.filter(|it| !it.contains('…'));
    spans.map(|it| it.replace('\n', " ")).collect()
}

/// The weir commands of a line of shell: what stands behind a word `weir`, up to the next pipe, and that
/// isn't a name such as in `daemonset/weir`.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in line.split(['|', ';']) {
        let words: Vec<&str> = part.split_whitespace().collect();
        let after = match words.as_slice() {
            ["weir", ..] => Some(0),
            _ => words.windows(2).position(|it| it == ["--", "weir"]).map(|at| at + 1),
        };
        found.extend(after.map(|at| words[at..].iter().map(|it| (*it).to_owned()).collect()));
    }
    found
}

#[test]
fn every_weir_command_of_the_guides_parses() {
    for name in GUIDES {
        let text = guide(name);
        let lines = code(&text).into_iter().chain(quoted(&text));
        let all: Vec<_> =
            lines.flat_map(|line| commands(&line)).filter(|it| it.len() > 1).collect();
        assert!(all.len() > 10, "{name}: {all:?}");
        for words in all {
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{name}: {}: {error}", words.join(" "));
            }
        }
    }
}

#[test]
fn every_file_that_the_guides_name_is_there() {
    for name in GUIDES {
        let text = guide(name);
        let separators = |c: char| c.is_whitespace() || "`()[],;\"'".contains(c);
        let words = text.split(separators).map(|it| it.trim_end_matches(['.', ':']));
        let paths: Vec<&str> = words.filter(|it| it.starts_with("deploy/")).collect();
        assert!(paths.len() > 5, "{name}: {paths:?}");
        for path in paths {
            assert!(root().join(path).exists(), "{name}: {path}");
        }
        let links = text.split("](").skip(1).filter_map(|it| it.split([')', '#']).next());
        for link in links.filter(|it| !it.is_empty() && !it.contains("://")) {
            assert!(root().join("docs").join(link).exists(), "{name}: {link}");
        }
    }
}

#[test]
fn commands_are_found_where_they_stand() {
    let cases: [(&str, &[&str]); 4] = [
        ("weir status --output json | jq .", &["weir status --output json"]),
        (
            "kubectl exec daemonset/weir -c weir -- weir explain shop/web # why",
            &["weir explain shop/web"],
        ),
        ("kubectl -n weir-system logs daemonset/weir", &[]),
        ("cat x | weir migrate --from-kube-proxy -", &["weir migrate --from-kube-proxy -"]),
    ];
    for (line, want) in cases {
        let got: Vec<String> = commands(line).iter().map(|it| it.join(" ")).collect();
        assert_eq!(got, want, "{line}");
    }
}
