//! Directories as files come, change, break, move and go: no clock and no file system.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use weir_core::model::Change;

use super::*;
use crate::watch::Report;
use crate::watch::key::Key;

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{clusterIP: 10.96.0.1, ports: [{{port: {port}}}]}}\n"
    )
}

fn documents(texts: &[String]) -> String {
    texts.join("---\n")
}

/// A step of a story: files written, files removed.
enum Do {
    Write(&'static str, String),
    Bytes(&'static str, &'static [u8]),
    Remove(&'static str),
    Rename(&'static str, &'static str, String),
    Deny(&'static str),
}

fn batch(step: &Do) -> Batch {
    let file = |path: &str, bytes: &[u8]| (PathBuf::from(path), Content::Bytes(bytes.to_vec()));
    match step {
        Do::Write(path, text) => {
            Batch { files: vec![file(path, text.as_bytes())], ..Batch::default() }
        }
        Do::Bytes(path, bytes) => Batch { files: vec![file(path, bytes)], ..Batch::default() },
        Do::Remove(path) => Batch { gone: vec![path.into()], ..Batch::default() },
        Do::Rename(from, to, text) => Batch {
            files: vec![file(to, text.as_bytes())],
            gone: vec![from.into()],
            ..Batch::default()
        },
        Do::Deny(path) => Batch {
            files: vec![(path.into(), Content::Unreadable("can't be read: denied".to_owned()))],
            ..Batch::default()
        },
    }
}

/// `+default/a:80`, `+ranges:[10.96.0.0/16]`, `-Service default/a`, `!problem`, `ok problem`, `?3 kind`.
fn told(update: &Update) -> Vec<String> {
    let changes = update.changes.iter().map(|change| match change {
        Change::Service(service) => format!("+{}:{}", service.name, service.ports[0].port),
        Change::ServiceCidr(object) => format!("+{}:{:?}", object.name, object.ranges),
        other => format!("-{}", Key::of(other)),
    });
    let Report { appeared, mended, ignored } = &update.report;
    let appeared = appeared.iter().map(|problem| format!("!{problem}"));
    let mended = mended.iter().map(|problem| format!("ok {problem}"));
    let ignored = ignored.iter().flatten().map(|(kind, count)| format!("?{count} {kind}"));
    changes.chain(appeared).chain(mended).chain(ignored).collect()
}

fn play(name: &str, story: Vec<(Do, &[&str])>) {
    let mut directory = Directory::new(Limits::default());
    for (i, (step, want)) in story.into_iter().enumerate() {
        assert_eq!(told(&directory.apply(batch(&step))), want, "{name}, step {i}");
    }
}

#[test]
fn only_what_changed_is_told() {
    let ab = |a, b| documents(&[service("a", a), service("b", b)]);
    play(
        "changes",
        vec![
            (Do::Write("x.yaml", ab(1, 2)), &["+default/a:1", "+default/b:2"]),
            (Do::Write("x.yaml", ab(1, 2)), &[]),
            (Do::Write("x.yaml", format!("# a comment\n{}", ab(1, 2))), &[]),
            (Do::Write("x.yaml", ab(1, 3)), &["+default/b:3"]),
            (Do::Write("x.yaml", service("b", 3)), &["-Service default/a"]),
            (Do::Rename("x.yaml", "y.yaml", service("b", 3)), &[]),
            (Do::Remove("y.yaml"), &["-Service default/b"]),
            (Do::Remove("never-there.yaml"), &[]),
        ],
    );
}

#[test]
fn ranges_of_services_come_change_and_go() {
    let ranges = |version: &str, meta: &str, list: &str| {
        format!(
            "apiVersion: networking.k8s.io/{version}\nkind: ServiceCIDR\n\
             metadata: {{name: r{meta}}}\nspec: {{cidrs: [{list}]}}\n"
        )
    };
    let deleting = ", deletionTimestamp: \"2026-01-01T00:00:00Z\"";
    let (one, two) = ("10.96.0.0/16", "10.97.0.0/16, \"fd00::/112\"");
    play(
        "ranges",
        vec![
            (Do::Write("r.yaml", ranges("v1", "", one)), &["+r:[10.96.0.0/16]"]),
            (Do::Write("r.yaml", ranges("v1beta1", "", one)), &[]),
            (Do::Write("r.yaml", ranges("v1", deleting, one)), &[]),
            (Do::Write("r.yaml", ranges("v1", "", two)), &["+r:[10.97.0.0/16, fd00::/112]"]),
            (
                Do::Write("r.yaml", ranges("v1", "", "10.97.0.0/16, nothing")),
                &[
                    "!r.yaml: document 1, line 4: ServiceCIDR r: spec.cidrs[1]: \"nothing\" is not a \
                   range such as 10.96.0.0/16 (the last good version stays in use)",
                ],
            ),
            (
                Do::Remove("r.yaml"),
                &[
                    "-ServiceCIDR r",
                    "ok r.yaml: document 1, line 4: ServiceCIDR r: spec.cidrs[1]: \"nothing\" is not a \
                 range such as 10.96.0.0/16 (the last good version stays in use)",
                ],
            ),
        ],
    );
}

#[test]
fn half_written_files_take_nothing_away() {
    let whole = documents(&[service("a", 1), service("b", 2)]);
    let cut = |at: usize| whole[..at].to_owned();
    let in_b = whole.find("name: b").unwrap() + 7;
    play(
        "half written",
        vec![
            (Do::Write("x.yaml", whole.clone()), &["+default/a:1", "+default/b:2"]),
            (
                Do::Write("x.yaml", cut(in_b)),
                &["!x.yaml: document 2, line 8: unclosed bracket '{' \
                   (the last good version stays in use)"],
            ),
            (
                Do::Bytes("x.yaml", b""),
                &[
                    "!x.yaml: is empty, as a file is while it is being written; remove it to \
                     remove its objects (the last good version stays in use)",
                    "ok x.yaml: document 2, line 8: unclosed bracket '{' \
                     (the last good version stays in use)",
                ],
            ),
            (
                Do::Write("x.yaml", whole.clone()),
                &["ok x.yaml: is empty, as a file is while it is being written; remove it to \
                   remove its objects (the last good version stays in use)"],
            ),
            (Do::Bytes("x.yaml", b"# on purpose\n"), &["-Service default/a", "-Service default/b"]),
        ],
    );
}

/// Wherever a file of two objects is cut, what is known of them stays; the first may be known anew.
#[test]
fn no_cut_inside_a_document_takes_its_object_away() {
    let whole = documents(&[service("a", 1), service("b", 2)]);
    let boundary = whole.find("---").unwrap();
    let unseen = [boundary - 1, boundary, boundary + 3, boundary + 4];
    for at in 0..whole.len() {
        let mut directory = Directory::new(Limits::default());
        let write = |text: &str| batch(&Do::Write("x.yaml", text.to_owned()));
        assert_eq!(directory.apply(write(&whole)).changes.len(), 2);
        let update = directory.apply(write(&whole[..at]));
        // At a boundary of documents a cut can't be seen: the watcher waits for the writer.
        let gone: &[&str] = match at {
            _ if unseen.contains(&at) => &["Service default/b"],
            _ => &[],
        };
        let told: Vec<_> = update.changes.iter().map(|c| Key::of(c).to_string()).collect();
        assert_eq!(told, gone, "cut at {at}: {:?}", &whole[..at]);
    }
}

#[test]
fn a_wrong_object_keeps_its_last_good_version_and_others_go_on() {
    let pair = |a: &str, b| documents(&[service("a", 1).replace("port: 1", a), service("b", b)]);
    play(
        "wrong object",
        vec![
            (Do::Write("x.yaml", pair("port: 1", 2)), &["+default/a:1", "+default/b:2"]),
            (
                Do::Write("x.yaml", pair("port: one", 3)),
                &[
                    "+default/b:3",
                    "!x.yaml: document 1, line 4: Service default/a: spec.ports[0].port: invalid \
                     type: string \"one\", expected i32 (the last good version stays in use)",
                ],
            ),
            // The same error after another change isn't told again.
            (Do::Write("x.yaml", pair("port: one", 4)), &["+default/b:4"]),
            (
                Do::Write("x.yaml", pair("port: 5", 4)),
                &[
                    "+default/a:5",
                    "ok x.yaml: document 1, line 4: Service default/a: spec.ports[0].port: invalid \
                     type: string \"one\", expected i32 (the last good version stays in use)",
                ],
            ),
        ],
    );
}

#[test]
fn a_part_that_carries_traffic_is_left_out_only_of_what_never_was_whole() {
    let two = |a: u32, b: u32| {
        let ports = format!("ports: [{{name: a, port: {a}}}, {{name: b, port: {b}}}]");
        service("a", 1).replace("ports: [{port: 1}]", &ports)
    };
    let wrong = "x.yaml: document 1, line 4: Service default/a: spec.ports[1].port: 70000 is not a \
                 port (1 to 65535)";
    let kept = format!("!{wrong} (the last good version stays in use)");
    let plain = format!("!{wrong}");
    let kept_mended = format!("ok {}", &kept[1..]);
    let plain_mended = format!("ok {wrong}");
    play(
        "edited wrongly",
        vec![
            (Do::Write("x.yaml", two(1, 2)), &["+default/a:1"]),
            (Do::Write("x.yaml", two(3, 70_000)), &[&kept]),
            (Do::Write("x.yaml", two(4, 2)), &["+default/a:4", &kept_mended]),
        ],
    );
    play(
        "wrong from the start",
        vec![
            (Do::Write("x.yaml", two(1, 70_000)), &["+default/a:1", &plain]),
            (Do::Write("x.yaml", two(3, 70_000)), &["+default/a:3"]),
            (Do::Write("x.yaml", two(3, 2)), &["+default/a:3", &plain_mended]),
        ],
    );
}

#[test]
fn fields_that_nobody_knows_are_named() {
    let text = service("a", 1).replace("port: 1", "port: 1, prot: UDP");
    let text = text.replace("spec: {", "spec: {sessionAfinity: ClientIP, ");
    let no_field = "is no field that weir knows; it has no effect";
    let at = |field: &str| {
        format!("!x.yaml: document 1, line 4: Service default/a: {field}: {no_field}")
    };
    let (port, spec) = (at("spec.ports[0].prot"), at("spec.sessionAfinity"));
    play("unknown", vec![(Do::Write("x.yaml", text), &["+default/a:1", &port, &spec])]);
}

#[test]
fn a_wrong_file_from_the_start_is_told_and_mended() {
    play(
        "wrong from the start",
        vec![
            (
                Do::Write("x.yaml", "a: [".to_owned()),
                &["!x.yaml: document 1, line 1: unclosed bracket '['"],
            ),
            (
                Do::Deny("x.yaml"),
                &[
                    "!x.yaml: can't be read: denied",
                    "ok x.yaml: document 1, line 1: unclosed bracket '['",
                ],
            ),
            (Do::Remove("x.yaml"), &["ok x.yaml: can't be read: denied"]),
        ],
    );
}

#[test]
fn a_file_out_of_reach_keeps_its_objects() {
    let kept = "x.yaml: can't be read: denied (the last good version stays in use)";
    let (told, mended) = (format!("!{kept}"), format!("ok {kept}"));
    play(
        "out of reach",
        vec![
            (Do::Write("x.yaml", service("a", 1)), &["+default/a:1"]),
            (Do::Deny("x.yaml"), &[&told]),
            (Do::Write("x.yaml", service("a", 1)), &[&mended]),
        ],
    );
}

#[test]
fn the_first_file_by_path_wins_and_the_next_steps_in() {
    let twice = |file: &str, first: &str| {
        format!(
            "{file}: document 1, line 1: Service default/a: stands in {first} already; \
             this one is left out"
        )
    };
    let (b, c) = (twice("b.yaml", "a.yaml"), twice("c.yaml", "b.yaml"));
    let (b_told, b_mended) = (format!("!{b}"), format!("ok {b}"));
    let (c_told, c_mended) = (format!("!{c}"), format!("ok {c}"));
    play(
        "twice",
        vec![
            (Do::Write("b.yaml", service("a", 2)), &["+default/a:2"]),
            (Do::Write("a.yaml", service("a", 1)), &["+default/a:1", &b_told]),
            (Do::Write("b.yaml", service("a", 3)), &[]),
            (Do::Remove("a.yaml"), &["+default/a:3", &b_mended]),
            (Do::Write("c.yaml", service("a", 4)), &[&c_told]),
            (Do::Remove("b.yaml"), &["+default/a:4", &c_mended]),
        ],
    );
}

#[test]
fn foreign_kinds_are_counted_and_told_when_that_changes() {
    let pod = |name: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
    let mut directory = Directory::new(Limits::default());
    let write = |path, text| batch(&Do::Write(path, text));
    let two = documents(&[pod("a"), pod("b")]);
    assert_eq!(told(&directory.apply(write("x.yaml", two))), ["?2 v1 Pod"]);
    assert_eq!(told(&directory.apply(write("y.yaml", pod("c")))), ["?3 v1 Pod"]);
    assert_eq!(told(&directory.apply(write("y.yaml", pod("d")))), [""; 0]);
    assert_eq!(directory.ignored(), [("v1 Pod".to_owned(), 3)].into());
    directory.apply(batch(&Do::Remove("x.yaml")));
    assert_eq!(directory.ignored(), [("v1 Pod".to_owned(), 1)].into());
    let update = directory.apply(batch(&Do::Remove("y.yaml")));
    assert_eq!(update.report.ignored, Some([].into()), "none any more");
}

#[test]
fn trouble_with_the_directory_is_told_once_and_mended() {
    let mut directory = Directory::new(Limits::default());
    let broken = || Batch {
        broken: vec![("sub".into(), "can't be read: denied".to_owned())],
        ..Batch::default()
    };
    assert_eq!(told(&directory.apply(broken())), ["!sub: can't be read: denied"]);
    assert_eq!(told(&directory.apply(broken())), [""; 0]);
    assert_eq!(directory.problems().count(), 1);
    assert_eq!(told(&directory.apply(Batch::default())), ["ok sub: can't be read: denied"]);
}

#[test]
fn limits_are_refused_with_words() {
    let limits = Limits { file_bytes: 200, values: 30, alias_values: 20, depth: 5 };
    let cases = [
        ("size", service("a", 1) + &" ".repeat(200), "is larger than 200 bytes"),
        ("values", format!("a: [{}]", "1, ".repeat(50)), "the file holds more than 30 values"),
        (
            "values of several documents",
            "a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n---\n".repeat(3),
            "the file holds more than 30 values",
        ),
        ("depth", "[[[[[[]]]]]]".to_owned(), "recursion limit exceeded"),
        ("depth", "a:\n b:\n  c:\n   d:\n    e:\n     f: 1".to_owned(), "nests deeper than 5"),
        (
            "aliases",
            "- &a [1, 1, 1, 1, 1]\n- [*a, *a, *a, *a]".to_owned(),
            "aliases stand for more than 20 values",
        ),
    ];
    let in_json = [
        ("values", format!("[{}1]", "1, ".repeat(50)), "the file holds more than 30 values"),
        ("several", "[1, 2, 3, 4, 5, 6, 7] ".repeat(4), "the file holds more than 30 values"),
        ("depth", "[[[[[[1]]]]]]".to_owned(), "nests deeper than 5"),
        ("twice", "{\"a\": 1, \"a\": 2}".to_owned(), "the key \"a\" stands here twice"),
    ];
    let yaml = cases.map(|(name, text, want)| (Format::Yaml, name, text, want));
    let json = in_json.map(|(name, text, want)| (Format::Json, name, text, want));
    for (format, name, text, want) in yaml.into_iter().chain(json) {
        let parsed = parse(Path::new("x"), format, text.as_bytes(), &limits);
        let found = parsed.problems.iter().any(|problem| problem.message.contains(want));
        assert!(found && parsed.unknown, "{format:?} {name}: {:?}", parsed.problems);
    }
}

#[test]
fn the_depth_that_is_allowed_fits_into_a_small_stack() {
    let limits = Limits::default();
    let nested = format!("{}1{}", "[".repeat(limits.depth), "]".repeat(limits.depth));
    let blocks: String = (0..limits.depth).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let read = move || {
        for (format, text) in
            [(Format::Yaml, &nested), (Format::Json, &nested), (Format::Yaml, &blocks)]
        {
            let parsed = parse(Path::new("x"), format, text.as_bytes(), &limits);
            assert_eq!(parsed.problems.len(), 1, "{:?}", parsed.problems);
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap().join().unwrap();
}

/// Pieces that manifests are made of, put together in every wrong way.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just("apiVersion: v1\n".to_owned()),
        Just("kind: Service\n".to_owned()),
        Just("kind: List\nitems:\n".to_owned()),
        Just("- ".to_owned()),
        Just("---\n".to_owned()),
        Just("...\n".to_owned()),
        Just("%YAML 1.2\n".to_owned()),
        Just("metadata: {name: a, labels: &x {a: b}}\n".to_owned()),
        Just("metadata: *x\n".to_owned()),
        Just("<<: *x\n".to_owned()),
        Just("spec: {clusterIPs: [10.0.0.1, ~, !!int 3], ports: [{port: -1}]}\n".to_owned()),
        Just("  ".to_owned()),
        Just("|\n".to_owned()),
        Just("\u{feff}".to_owned()),
        "[ -~\\n]{0,12}",
    ];
    prop::collection::vec(scrap, 0..24).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        for format in [Format::Yaml, Format::Json] {
            let parsed = parse(Path::new("x"), format, &bytes, &Limits::default());
            prop_assert!(parsed.objects.is_empty() || parsed.problems.is_empty());
        }
    }

    #[test]
    fn scraps_of_manifests_never_panic(text in scraps()) {
        let mut directory = Directory::new(Limits::default());
        directory.apply(batch(&Do::Write("x.yaml", service("a", 1))));
        directory.apply(batch(&Do::Write("x.yaml", text.clone())));
        directory.apply(batch(&Do::Write("x.json", text)));
    }

    /// Whatever came between, the end is what the last contents say.
    #[test]
    fn good_contents_mend_everything(
        stories in prop::collection::vec((0..3usize, scraps()), 0..6),
    ) {
        let mut directory = Directory::new(Limits::default());
        let files = ["a.yaml", "b.yaml", "c.yaml"];
        let mut model = std::collections::BTreeMap::new();
        let steps = stories.into_iter().map(|(file, text)| (files[file], text));
        let ends = files.into_iter().map(|file| (file, service(&file[..1], 9)));
        for (file, text) in steps.chain(ends) {
            for change in directory.apply(batch(&Do::Write(file, text))).changes {
                let key = Key::of(&change);
                if change == key.gone() { model.remove(&key); } else { model.insert(key, change); }
            }
        }
        prop_assert_eq!(directory.problems().count(), 0);
        let mut fresh = Directory::new(Limits::default());
        let mut want = std::collections::BTreeMap::new();
        for file in files {
            let update = fresh.apply(batch(&Do::Write(file, service(&file[..1], 9))));
            want.extend(update.changes.into_iter().map(|change| (Key::of(&change), change)));
        }
        prop_assert_eq!(model, want);
    }
}
