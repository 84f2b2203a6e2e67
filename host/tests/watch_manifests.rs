//! Folders of manifests, good and bad, and what is made of them: `tests/manifests/NAME/in` against
//! `tests/manifests/NAME/expected.txt`. `BLESS=1` rewrites what is expected.
#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use weir::watch::Key;
use weir::watch::manifests::{Reading, read_directory};
use weir_core::model::Change;

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests")
}

fn check(name: &str) {
    let folder = scenarios().join(name);
    let input = folder.join("in");
    let text = print(&input, &read_directory(&input).unwrap());
    let expected = folder.join("expected.txt");
    if env::var_os("BLESS").is_some() {
        fs::write(&expected, &text).unwrap();
    }
    let want = fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(text, want, "{} (BLESS=1 rewrites it)", expected.display());
}

fn print(root: &Path, reading: &Reading) -> String {
    let mut text = String::new();
    for problem in &reading.problems {
        writeln!(text, "{problem}").unwrap();
    }
    for (kind, count) in &reading.ignored {
        writeln!(text, "ignored: {count} × {kind}").unwrap();
    }
    for change in &reading.changes {
        writeln!(text, "\n{}\n{}", Key::of(change), json(change)).unwrap();
    }
    text.replace(&format!("{}/", root.display()), "")
}

fn json(change: &Change) -> String {
    let printed = match change {
        Change::Service(object) => serde_json::to_string_pretty(object),
        Change::Slice(object) => serde_json::to_string_pretty(object),
        Change::Namespace(object) => serde_json::to_string_pretty(object),
        Change::Node(object) => serde_json::to_string_pretty(object),
        Change::ServiceCidr(object) => serde_json::to_string_pretty(object),
        gone => panic!("nothing was there to go: {gone:?}"),
    };
    printed.unwrap()
}

#[test]
fn every_kind_and_form_is_read() {
    check("kinds");
}

#[test]
fn what_cannot_be_parsed_is_named_and_the_rest_is_read() {
    check("syntax");
}

#[test]
fn a_wrong_type_refuses_its_object_alone() {
    check("types");
}

#[test]
fn bad_fields_are_left_out_and_named() {
    check("fields");
}

#[test]
fn the_first_of_two_wins() {
    check("twice");
}

#[test]
fn every_scenario_is_run() {
    let mut names: Vec<_> = fs::read_dir(scenarios())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["fields", "kinds", "syntax", "twice", "types"]);
}

#[test]
fn a_single_file_and_an_absent_one() {
    let one = read_directory(&scenarios().join("twice/in/b.yaml")).unwrap();
    assert_eq!((one.changes.len(), one.problems.len()), (1, 0));
    let error = read_directory(Path::new("/nonexistent/manifests")).unwrap_err();
    assert_eq!(error.to_string(), "read the manifests in /nonexistent/manifests");
}
