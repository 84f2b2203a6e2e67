//! Which room may know which: fails with the arrow that points the wrong way, and why it is one.
//!
//! Crates are read from `cargo metadata`, words of other worlds (Kubernetes, netlink, WebAssembly)
//! from the sources themselves. ARCHITECTURE.md draws the same picture.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a package may depend on, of all kinds of dependencies.
struct Room {
    /// The package, or a folder with a `/` at its end: every package in it.
    of: &'static str,
    /// Packages of this workspace that it may see.
    sees: &'static [&'static str],
    why: &'static str,
}

const ROOMS: [Room; 13] = [
    Room {
        of: "weir-core",
        sees: &[],
        why: "core is pure and at the bottom: everybody stands on it",
    },
    Room { of: "ipvs-rs", sees: &[], why: "it is published alone and knows nothing of weir" },
    Room { of: "weir-nft", sees: &[], why: "it speaks nftables, not Services" },
    Room { of: "weir-link", sees: &[], why: "it speaks links and addresses, not Services" },
    Room { of: "weir-conntrack", sees: &[], why: "it speaks flows, not Services" },
    Room {
        of: "weir-policy-host",
        sees: &["weir-core"],
        why: "the sandbox turns views into wishes and never reaches the kernel",
    },
    Room {
        of: "weir-policy",
        sees: &[],
        why: "policies are built without the host: the WIT is all that they share",
    },
    Room {
        of: "policies/",
        sees: &["weir-policy"],
        why: "a policy is a guest: it sees the SDK only",
    },
    Room { of: "weir-apiserver", sees: &[], why: "it serves JSON to whoever asks" },
    Room { of: "weir-collector", sees: &[], why: "it takes spans from whoever sends them" },
    Room {
        of: "weir-otel",
        sees: &["weir-collector"],
        why: "it takes any spans and sends them; its tests know a collector",
    },
    Room { of: "weir-vm", sees: &[], why: "the harness boots any kernel for anybody" },
    Room {
        of: "weir",
        sees: &[
            "ipvs-rs",
            "weir-apiserver",
            "weir-collector",
            "weir-conntrack",
            "weir-core",
            "weir-link",
            "weir-nft",
            "weir-otel",
            "weir-policy-host",
            "weir-traffic",
        ],
        why: "the daemon talks to policies through the sandbox only; its tests know clients and servers",
    },
];

/// Crates from outside that only these packages may name.
struct Foreign {
    crates: &'static [&'static str],
    only: &'static [&'static str],
    why: &'static str,
}

const FOREIGN: [Foreign; 5] = [
    Foreign {
        crates: &["wasmtime", "wasmparser", "wit-component"],
        only: &["weir-policy-host"],
        why: "one room runs guests, so that one room holds their limits",
    },
    Foreign {
        crates: &["nftnl", "nftnl-sys"],
        only: &["weir-nft"],
        why: "libnftnl's GPL and its pointers end in one room",
    },
    Foreign {
        crates: &["k8s-openapi", "kube"],
        only: &["weir"],
        why: "Kubernetes' words end in host/src/watch",
    },
    Foreign {
        crates: &[
            "opentelemetry",
            "opentelemetry-http",
            "opentelemetry-otlp",
            "opentelemetry-proto",
            "opentelemetry_sdk",
            "prost",
            "tracing-opentelemetry",
        ],
        only: &["weir-collector", "weir-otel"],
        why: "a build without traces has nothing of them: the walk's code knows `tracing` alone",
    },
    Foreign {
        crates: &["netlink-sys", "netlink-packet-core", "netlink-packet-route", "rtnetlink", "mnl"],
        only: &["ipvs-rs", "weir-conntrack", "weir-link", "weir-nft"],
        why: "netlink messages are written and read in the kernel crates",
    },
];

/// All that core may stand on; each keeps clocks, files and sockets out of reach.
const CORE_STANDS_ON: [&str; 8] =
    ["ipnet", "litemap", "proptest", "serde", "serde_json", "sha2", "smallvec", "thiserror"];

/// A word that belongs into some files only.
struct Word {
    word: &'static str,
    /// Where it is looked for.
    under: &'static str,
    /// Where it may stand.
    only: &'static [&'static str],
    why: &'static str,
}

const KERNEL: &[&str] = &[
    "host/src/kernel.rs",
    "host/src/kernel/",
    "host/src/app.rs",
    "host/src/app/",
    "host/src/drive.rs",
    "host/src/drive/",
];
const KERNEL_WHY: &str = "netlink's words end in host/src/kernel; app and drive only wire it up";

const WORDS: [Word; 8] = [
    Word {
        word: "k8s_openapi",
        under: "",
        only: &["host/src/watch.rs", "host/src/watch/", "host/tests/", "host/fuzz/"],
        why: "the rest of the daemon knows the model, not the API's types",
    },
    Word { word: "ipvs_rs", under: "host/src/", only: KERNEL, why: KERNEL_WHY },
    Word { word: "weir_nft", under: "host/src/", only: KERNEL, why: KERNEL_WHY },
    Word { word: "weir_link", under: "host/src/", only: KERNEL, why: KERNEL_WHY },
    Word { word: "weir_conntrack", under: "host/src/", only: KERNEL, why: KERNEL_WHY },
    Word {
        word: "weir_traffic",
        under: "host/",
        only: &["host/tests/"],
        why: "clients and servers for tests are no part of the daemon",
    },
    Word {
        word: "wasmtime",
        under: "",
        only: &["host/policy/"],
        why: "the engine is a matter of the sandbox",
    },
    Word {
        word: "nftnl_sys",
        under: "",
        only: &["host/nft/"],
        why: "libnftnl's pointers are a matter of one room",
    },
];

/// One package and what it depends on directly.
struct Package {
    name: String,
    /// Its folder in the workspace, with a `/` at its end.
    folder: String,
    dependencies: Vec<String>,
}

fn root() -> PathBuf {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().expect("the package is a folder of the workspace").to_owned()
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").iter().map(package).collect()
}

fn package(of: &Value) -> Package {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let manifest = PathBuf::from(text(&of["manifest_path"]));
    let folder = manifest.strip_prefix(root()).expect("members lie in the workspace").parent();
    let dependencies = of["dependencies"].as_array().expect("a list of dependencies");
    Package {
        name: text(&of["name"]),
        folder: format!("{}/", folder.expect("the manifest lies in a folder").display()),
        dependencies: dependencies.iter().map(|it| text(&it["name"])).collect(),
    }
}

impl Room {
    fn holds(&self, package: &Package) -> bool {
        package.name == self.of || (self.of.ends_with('/') && package.folder.starts_with(self.of))
    }
}

/// Arrows that point the wrong way, each with its reason.
fn wrong_arrows(packages: &[Package]) -> Vec<String> {
    let ours = |name: &String| packages.iter().any(|it| it.name == *name);
    let mut wrong = Vec::new();
    for package in packages {
        for to in &package.dependencies {
            let room = ROOMS.iter().find(|room| room.holds(package));
            if let Some(room) = room.filter(|room| ours(to) && !room.sees.contains(&to.as_str())) {
                wrong.push(format!("{} -> {to}: {}", package.name, room.why));
            }
            let foreign = FOREIGN.iter().find(|it| it.crates.contains(&to.as_str()));
            if let Some(it) = foreign.filter(|it| !it.only.contains(&package.name.as_str())) {
                wrong.push(format!("{} -> {to}: {}", package.name, it.why));
            }
            if package.name == "weir-core" && !ours(to) && !CORE_STANDS_ON.contains(&to.as_str()) {
                wrong.push(format!("weir-core -> {to}: a crate that core doesn't need to be pure"));
            }
        }
    }
    wrong
}

#[test]
fn no_crate_depends_on_a_room_that_it_must_not_see() {
    let packages = packages();
    for room in ROOMS {
        assert!(
            packages.iter().any(|it| room.holds(it)),
            "no package {}: the rule is out of date",
            room.of
        );
    }
    let wrong = wrong_arrows(&packages);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_wrong_arrow_is_found() {
    let package = |name: &str, folder: &str, dependencies: &[&str]| Package {
        name: name.into(),
        folder: folder.into(),
        dependencies: dependencies.iter().map(|it| (*it).to_owned()).collect(),
    };
    let packages = [
        package("weir-core", "host/core/", &["serde", "tokio", "weir-nft"]),
        package("weir-nft", "host/nft/", &["nftnl-sys"]),
        package("sticky", "policies/sticky/", &["weir-policy", "weir-core"]),
        package("weir-policy", "sdk/rust/", &[]),
        package("weir", "host/", &["wasmtime", "weir-core"]),
    ];
    let arrows: Vec<_> = wrong_arrows(&packages);
    let arrows: Vec<_> = arrows.iter().filter_map(|it| it.split(':').next()).collect();
    assert_eq!(
        arrows,
        ["weir-core -> tokio", "weir-core -> weir-nft", "sticky -> weir-core", "weir -> wasmtime"]
    );
}

/// Every Rust file of the project, by its path from the root.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project can be read") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let path = path.strip_prefix(root()).expect("it lies under the root");
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Lines of code, not comments, that hold `word` as a word of its own; counted from 1.
fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let holds = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.split(|c| !part_of_a_word(c)).any(|it| it == word)
    };
    let lines = text.lines().enumerate().filter(|(_, line)| holds(line));
    lines.map(|(number, _)| number + 1).collect()
}

#[test]
fn words_of_other_worlds_stay_in_their_rooms() {
    let sources = sources();
    let mut wrong = Vec::new();
    for Word { word, under, only, why } in WORDS {
        let elsewhere = sources.iter().filter(|path| {
            path.starts_with(under)
                && !only.iter().any(|room| path.starts_with(room))
                && *path != "host/tests/arrows.rs"
        });
        for path in elsewhere {
            let text = std::fs::read_to_string(root().join(path)).expect("a source is text");
            let lines = lines_with(&text, word).into_iter();
            wrong.extend(lines.map(|line| format!("{path}:{line}: {word}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for Word { word, only, .. } in WORDS {
        let used = sources.iter().filter(|path| only.iter().any(|room| path.starts_with(room)));
        let mut texts = used.filter_map(|path| std::fs::read_to_string(root().join(path)).ok());
        assert!(
            texts.any(|text| !lines_with(&text, word).is_empty()),
            "nobody says {word}: the rule is out of date"
        );
    }
}

#[test]
fn a_word_is_found_in_code_only() {
    let text =
        "use wasmtime::Engine;\n// wasmtime\n/// see wasmtime\nlet wasmtimes = 1;\nf(wasmtime)\n";
    assert_eq!(lines_with(text, "wasmtime"), [1, 5]);
}
