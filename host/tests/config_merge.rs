//! Defaults, file, flags: who wins, where relative paths start, and what `weir config` prints.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use weir::args::{Cli, Command, RunArgs};
use weir::config::{
    Config, Dataplane, LogFormat, LogLevel, Overrides, Packets, command, load, parse, write_to,
};

const HEAD: &str = "apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n";

fn cli(arguments: &str) -> Cli {
    Cli::try_parse_from(arguments.split_whitespace()).unwrap()
}

/// What `arguments` of `weir run` make of a file at /etc/weir/weir.yaml.
fn merged(file: &str, arguments: &str) -> Config {
    let cli = cli(&format!("weir {arguments}"));
    let Command::Run(RunArgs { source, .. }) = &cli.command else { panic!("not run") };
    let flags = cli.global.overrides(source);
    parse(Path::new("/etc/weir/weir.yaml"), &format!("{HEAD}{file}"), &flags).unwrap().0
}

#[test]
fn a_flag_beats_the_file_and_the_file_the_default() {
    let cases = [
        ("", "run", Dataplane::Auto, LogLevel::Info),
        ("dataplane: ipvs\nlog: {level: debug}", "run", Dataplane::Ipvs, LogLevel::Debug),
        ("", "run --dataplane nftables --log-level warn", Dataplane::Nftables, LogLevel::Warn),
        (
            "dataplane: ipvs\nlog: {level: debug}",
            "--log-level warn run --dataplane auto",
            Dataplane::Auto,
            LogLevel::Warn,
        ),
    ];
    for (file, arguments, dataplane, level) in cases {
        let config = merged(file, arguments);
        assert_eq!(
            (config.dataplane, config.log.level),
            (dataplane, level),
            "{file:?} {arguments}"
        );
    }
}

#[test]
fn the_threshold_of_the_flag_beats_both_kinds_of_file() {
    let kube_proxy = |field: &str| {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        format!("{head}mode: nftables\nnftables: {{{field}}}\n")
    };
    let weir = |field: &str| format!("{HEAD}offload: {{{field}}}\n");
    let cases = [
        (weir(""), None, 20),
        (weir("afterPackets: 0"), None, 0),
        (weir("afterPackets: 4294967295"), None, 4_294_967_295),
        (weir("afterPackets: 7"), Some(0), 0),
        (weir(""), Some(100), 100),
        (kube_proxy(""), None, 20),
        (kube_proxy("fastpathPacketThreshold: null"), None, 20),
        (kube_proxy("fastpathPacketThreshold: 0"), None, 0),
        (kube_proxy("fastpathPacketThreshold: 40"), None, 40),
        (kube_proxy("fastpathPacketThreshold: 40"), Some(3), 3),
    ];
    for (file, flag, want) in cases {
        let fastpath_packet_threshold = flag.map(Packets::new);
        let flags = Overrides { fastpath_packet_threshold, ..Overrides::default() };
        let (config, notices) = parse(Path::new("a.yaml"), &file, &flags).unwrap();
        assert_eq!(
            (config.offload.after_packets.get(), notices),
            (want, vec![]),
            "{file} {flag:?}"
        );
    }
}

#[test]
fn every_flag_has_its_place() {
    let config = merged(
        "policies: [{name: gone, file: gone.wasm}]",
        "--run-dir /run/b --log-format json run --node-name n --manifests m --fastpath-packet-threshold 9 --policy My_Policy.wasm --policy b=x/y.wasm",
    );
    assert_eq!(config.node_name.unwrap().as_str(), "n");
    assert_eq!(config.manifests, Some(PathBuf::from("m")));
    assert_eq!(config.offload.after_packets.get(), 9);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.paths.run_dir, Path::new("/run/b"));
    let policies: Vec<_> =
        config.policies.iter().map(|p| (p.name.as_str(), p.file.as_path())).collect();
    let want = [("my-policy", Path::new("My_Policy.wasm")), ("b", Path::new("x/y.wasm"))];
    assert_eq!(policies, want);
}

#[test]
fn relative_paths_start_at_the_file() {
    let config = merged(
        "manifests: m\npolicies: [{name: a, file: a.wasm}, {name: b, file: /b.wasm}]",
        "run",
    );
    assert_eq!(config.manifests, Some(PathBuf::from("/etc/weir/m")));
    let files: Vec<_> = config.policies.iter().map(|policy| policy.file.as_path()).collect();
    assert_eq!(files, [Path::new("/etc/weir/a.wasm"), Path::new("/b.wasm")]);
}

#[test]
fn dataplane_beats_mode() {
    let file =
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n";
    let flags = Overrides { dataplane: Some(Dataplane::Nftables), ..Overrides::default() };
    let (config, _) = parse(Path::new("kube-proxy.conf"), file, &flags).unwrap();
    assert_eq!(config.dataplane, Dataplane::Nftables);
}

#[test]
fn an_error_made_by_a_flag_names_no_line() {
    let flags = Overrides { run_dir: Some("run".into()), ..Overrides::default() };
    let errors = load(None, &flags).unwrap_err();
    assert_eq!(errors.to_string(), "paths.runDir: `run` is not an absolute path");
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("binary"), [0xff, 0xfe, 0]).unwrap();
    fs::write(at("huge"), "# ".repeat(1 << 20)).unwrap();
    let cases = [
        ("missing", "can't be read: No such file or directory (os error 2)"),
        ("", "can't be read: Is a directory (os error 21)"),
        ("binary", "is not UTF-8 text"),
        ("huge", "is larger than 1048576 bytes"),
    ];
    for (name, want) in cases {
        let path = at(name);
        let errors = load(Some(&path), &Overrides::default()).unwrap_err();
        assert_eq!(errors.to_string(), format!("{}: {want}", path.display()));
    }
}

#[test]
fn written_configuration_loads_again_and_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.yaml");
    fs::write(&path, "old").unwrap();
    let config = merged("ipvs: {scheduler: wlc}\nnodeName: n", "run");
    write_to(&config, &path).unwrap();
    assert_eq!(load(Some(&path), &Overrides::default()).unwrap(), (config, vec![]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_is_not_a_file_is_written_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    write_to(&Config::default(), &link).unwrap();
    assert!(link.is_symlink());
    assert!(fs::read_to_string(&file).unwrap().starts_with(HEAD));
    let null = Path::new("/dev/null");
    write_to(&Config::default(), null).unwrap();
    assert!(!null.metadata().unwrap().is_file());
}

/// Runs `weir config …` and returns the answer, the remarks and the error's text.
fn config_command(arguments: &str) -> (String, String, Option<String>) {
    let cli = cli(&format!("weir config {arguments}"));
    let Command::Config(args) = &cli.command else { panic!("not config") };
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    let done = command::run(&args.command, &cli.global, &mut out, &mut remarks);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(remarks), done.err().map(|error| error.to_string()))
}

#[test]
fn check_tells_what_is_wrong_and_what_is_lost() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let good = folder.join("good/empty.yaml").display().to_string();
    let lossy = folder.join("kube-proxy/iptables-mode.yaml").display().to_string();
    let bad = folder.join("bad/cluster-cidrs-missing.yaml").display().to_string();
    assert_eq!(config_command(&format!("check {good}")).0, format!("{good} is valid\n"));
    assert!(config_command(&format!("check {lossy}")).0.contains("mode is changed: "));
    let strict = config_command(&format!("check --strict {lossy}")).2.unwrap();
    assert!(strict.contains("aren't taken as they stand"), "{strict}");
    let defaults = folder.join("kube-proxy/empty.yaml").display().to_string();
    let (told, _, error) = config_command(&format!("check --strict {defaults}"));
    assert_eq!(error, None, "a default of kube-proxy's is no loss");
    assert!(told.contains("nodePortAddresses is kube-proxy's default: "), "{told}");
    let error = config_command(&format!("check {bad}")).2.unwrap();
    assert!(
        error.starts_with(&format!("{bad}:4: masquerade.detectLocal.clusterCIDRs: ")),
        "{error}"
    );
}

#[test]
fn check_names_policies_whose_files_cant_be_read_and_strictly_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there.wasm"), "x").unwrap();
    let file = folder.path().join("weir.yaml");
    let text = "apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\npolicies:\n\
                - {name: good, file: there.wasm}\n- {name: gone, file: /not/there.wasm}\n\
                - {name: folder, file: .}\n";
    fs::write(&file, text).unwrap();
    let (told, _, error) = config_command(&format!("check {}", file.display()));
    assert_eq!(error, None, "{told}");
    let lines: Vec<_> = told.lines().collect();
    let [gone, is_folder, valid] = lines[..] else { panic!("{told}") };
    assert!(gone.starts_with("policy gone: /not/there.wasm: No such file"), "{gone}");
    assert!(is_folder.starts_with("policy folder: ") && is_folder.contains("directory"), "{told}");
    assert!(valid.ends_with("weir.yaml is valid"), "{valid}");
    let strict = config_command(&format!("check --strict {}", file.display())).2.unwrap();
    assert!(strict.starts_with("2 setting(s)"), "{strict}");
}

#[test]
fn convert_prints_what_loads_to_the_same() {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/kube-proxy/every-field.yaml");
    let (text, remarks, error) = config_command(&format!("convert {}", source.display()));
    assert_eq!(error, None);
    assert!(remarks.contains("ipvs.excludeCIDRs is ignored: "), "{remarks}");
    let nothing = Overrides::default();
    let (converted, _) = parse(Path::new("weir.yaml"), &text, &nothing).unwrap();
    assert_eq!(converted, load(Some(&source), &nothing).unwrap().0);
}

#[test]
fn default_prints_the_defaults() {
    let (text, ..) = config_command("default");
    let (config, _) = parse(Path::new("weir.yaml"), &text, &Overrides::default()).unwrap();
    assert_eq!(config, Config::default());
}
