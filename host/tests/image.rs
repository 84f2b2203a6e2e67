//! What deploy/image puts into the image is enough to start the daemon, and what it names is there.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/image").join(name)
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    if output.status.success() { Ok(String::from_utf8(out).unwrap()) } else { Err(err) }
}

/// Where this system has its libraries, such as /usr/lib/x86_64-linux-gnu.
fn libraries() -> PathBuf {
    let asked = said(Command::new("pkg-config").args(["--variable=libdir", "libmnl"]));
    PathBuf::from(asked.unwrap().trim())
}

#[test]
fn collected_libraries_are_all_that_the_daemon_needs() {
    let root = tempfile::tempdir().unwrap();
    let weir = env!("CARGO_BIN_EXE_weir");
    let libraries = libraries();
    let mut collect = Command::new(image("collect"));
    said(collect.args([OsStr::new(weir), libraries.as_ref(), root.path().as_ref()])).unwrap();
    let copied = root.path().join("usr/lib").join(libraries.file_name().unwrap());
    for name in ["libnftnl.so.11", "libmnl.so.0", "libc.so.6"] {
        assert!(copied.join(name).exists(), "{name}");
    }
    let mut loaders = fs::read_dir(&copied).unwrap().map(|it| it.unwrap().path());
    let is_loader =
        |it: &PathBuf| it.file_name().unwrap().to_string_lossy().starts_with("ld-linux");
    let loader = loaders.find(is_loader).unwrap();
    // Nothing but what was copied is looked at: a library that is missing there is missing.
    let mut run = Command::new(loader);
    run.args(["--inhibit-cache", "--library-path"]).arg(&copied).arg("--list").arg(weir);
    for line in said(&mut run).unwrap().lines().filter(|line| line.contains("=>")) {
        assert!(line.contains(root.path().to_str().unwrap()), "{line}");
    }
}

#[test]
fn a_program_that_is_none_is_refused_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut collect = Command::new(image("collect"));
    let error = said(collect.args(["/etc/passwd".as_ref(), dir.path(), dir.path()])).unwrap_err();
    assert!(error.contains("has no loader"), "{error}");
}

#[test]
fn the_bill_names_crates_of_all_lists_and_packages_once_each() {
    let lists = r#"
{"metadata": {"component": {"bom-ref": "weir"}}, "components": [{"bom-ref": "serde"}, {"bom-ref": "kube"}],
 "dependencies": [{"ref": "weir", "dependsOn": ["kube"]}, {"ref": "serde"}]}
{"metadata": {"component": {"bom-ref": "annotations"}}, "components": [{"bom-ref": "serde"}],
 "dependencies": [{"ref": "annotations", "dependsOn": ["serde"]}, {"ref": "serde"}]}"#;
    let bill = |packages: &[&str], lists: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lists"), lists).unwrap();
        let here = said(Command::new("dpkg").arg("--print-architecture")).unwrap();
        let input = fs::File::open(dir.path().join("lists")).unwrap();
        said(Command::new(image("bill")).arg(here.trim()).args(packages).stdin(input))
    };
    let list: serde_json::Value =
        serde_json::from_str(&bill(&["libmnl0", "libc6"], lists).unwrap()).unwrap();
    assert_eq!(list["metadata"]["component"]["bom-ref"], "weir");
    let all = list["components"].as_array().unwrap();
    let named: Vec<_> = all.iter().map(|it| it["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(named[..2], ["annotations", "kube"]);
    assert!(named[2].starts_with("pkg:deb/debian/libc6@2."), "{named:?}");
    assert!(named[3].starts_with("pkg:deb/debian/libmnl0@1."), "{named:?}");
    assert_eq!(named[4..], ["serde"]);
    let whole = serde_json::json!([
        {"ref": "annotations", "dependsOn": ["serde"]},
        {"ref": "serde", "dependsOn": []},
        {"ref": "weir", "dependsOn": ["kube"]}
    ]);
    assert_eq!(list["dependencies"], whole);
    assert!(bill(&["libmnl0", "no-such-package"], lists).unwrap_err().contains("no-such-package"));
    assert!(bill(&["libmnl0"], "").unwrap_err().contains("no list"));
}

#[test]
fn both_architectures_are_known_and_no_other() {
    let run = |arch: &str| {
        let line = format!(
            ". {} && echo $target $triplet ${{JEMALLOC_SYS_WITH_LG_PAGE:-}}",
            image("target.sh").display()
        );
        said(Command::new("sh").arg("-euc").arg(line).env("TARGETARCH", arch))
    };
    assert_eq!(run("amd64").unwrap(), "x86_64-unknown-linux-gnu x86_64-linux-gnu\n");
    assert_eq!(run("arm64").unwrap(), "aarch64-unknown-linux-gnu aarch64-linux-gnu 16\n");
    assert!(run("riscv64").unwrap_err().contains("no image for riscv64"));
}

#[test]
fn where_nothing_can_build_an_image_that_is_said() {
    let mut build = Command::new(image("build"));
    let error = said(build.env("WEIR_BUILDER", "no-such-builder")).unwrap_err();
    assert!(error.contains("none of podman, docker") && error.contains("apt-get install podman"));
}

#[test]
fn the_image_is_of_this_version_and_has_no_shell() {
    let text = fs::read_to_string(image("Containerfile")).unwrap();
    let version = format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{version}");
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n"), "{last}");
    assert!(last.contains("USER 0:0") && last.contains("ENTRYPOINT [\"/usr/bin/weir\"]"));
    assert!(!last.contains("\nRUN "), "nothing is run in the last stage");
    for word in text.split_whitespace().filter(|it| it.starts_with("deploy/")) {
        assert!(image("../..").join(word).exists(), "{word}");
    }
}
