//! `weir migrate` as data: each file of `configs/migrate/` beside what becomes of it and what is told, byte
//! by byte. `BLESS=1` rewrites both.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use weir::args::{Cli, Command};
use weir::config::kubeproxy::{FIELDS, Fate, migrate};
use weir::config::migrate::run;
use weir::config::{Overrides, parse};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(name)
}

fn golden(path: &Path, got: &str) {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, got).unwrap();
    }
    let want = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(got, want, "{} (BLESS=1 rewrites it)", path.display());
}

/// Runs `weir migrate …`; its answer, its remarks and its error.
fn ran(arguments: &str, input: &str) -> (String, String, Option<String>) {
    let line = format!("weir migrate {arguments}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Migrate(args) = cli.command else { panic!("{line}") };
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    let done = run(&args, &mut input.as_bytes(), &mut out, &mut remarks);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(remarks), done.err().map(|error| error.to_string()))
}

const FILES: [&str; 3] = ["kubeadm", "ipvs", "nftables"];

#[test]
fn reports_and_configurations_are_as_they_were() {
    for name in FILES {
        let input = fs::read_to_string(here(&format!("migrate/{name}.yaml"))).unwrap();
        let (config, report, error) = ran("--from-kube-proxy -", &input);
        assert_eq!(error, None, "{name}");
        golden(&here(&format!("migrate/{name}.report")), &report);
        golden(&here(&format!("migrate/{name}.weir")), &config);
        let (json, remarks, error) = ran("--from-kube-proxy - --output json", &input);
        assert_eq!((remarks, error), (String::new(), None), "{name}");
        golden(&here(&format!("migrate/{name}.json")), &json);
    }
}

#[test]
fn the_configuration_is_the_one_that_a_start_with_the_file_has() {
    let nothing = Overrides::default();
    for name in ["ipvs", "nftables"] {
        let path = here(&format!("migrate/{name}.yaml"));
        let input = fs::read_to_string(&path).unwrap();
        let (started, _) = parse(&path, &input, &nothing).unwrap();
        let (text, ..) = ran(&format!("--from-kube-proxy {}", path.display()), "");
        let (migrated, notices) = parse(Path::new("weir.yaml"), &text, &nothing).unwrap();
        assert_eq!((migrated, notices), (started, vec![]), "{name}");
    }
}

#[test]
fn probes_that_must_ask_elsewhere_are_a_step() {
    let input = fs::read_to_string(here("migrate/kubeadm.yaml")).unwrap();
    let cases = [
        ("127.0.0.1:10256", Some("must ask 127.0.0.1:10256")),
        ("0.0.0.0:10300", Some("must ask 0.0.0.0:10300")),
        ("0.0.0.0:10256", None),
    ];
    for (address, want) in cases {
        let field = "healthzBindAddress: \"\"";
        assert!(input.contains(field));
        let input = input.replace(field, &format!("healthzBindAddress: \"{address}\""));
        let (_, report, error) = ran("--from-kube-proxy -", &input);
        assert_eq!(error, None, "{address}");
        let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(report.contains("must ask"), want.is_some(), "{address}: {report}");
        assert!(want.is_none_or(|want| report.contains(want)), "{address}: {report}");
    }
}

#[test]
fn a_file_for_the_configuration_leaves_the_report_as_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (source, file) = (here("migrate/ipvs.yaml"), folder.path().join("weir.yaml"));
    let line = format!("--from-kube-proxy {} --out {}", source.display(), file.display());
    let (report, remarks, error) = ran(&line, "");
    assert_eq!((remarks, error), (String::new(), None));
    assert!(report.contains(&format!("$ weir run --config {}", file.display())), "{report}");
    let (config, ..) = ran(&format!("--from-kube-proxy {}", source.display()), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), config);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let map = |key: &str, text: &str| format!("kind: ConfigMap\ndata: {{{key}: \"{text}\"}}\n");
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\\nkind: KubeProxyConfiguration\\n";
    let cases = [
        (
            "kind: ConfigMap\n".to_owned(),
            "standard input: is a ConfigMap without `config.conf` or `config`",
        ),
        (map("other", "x"), "standard input: is a ConfigMap without `config.conf` or `config`"),
        (map("config.conf", "x"), "standard input[config.conf]:1: is not a configuration"),
        (
            map("config.conf", &format!("{head}ipvs: {{scheduler: wlcc}}\\n")),
            "standard input[config.conf]:3: ipvs.scheduler: `wlcc` is not allowed",
        ),
        (
            "apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n".to_owned(),
            "standard input: is weir's own already",
        ),
        ("[".to_owned(), "standard input:1: is not YAML"),
        (String::new(), "standard input:1: is not a configuration"),
    ];
    for (input, want) in cases {
        let (out, remarks, error) = ran("--from-kube-proxy -", &input);
        let error = error.unwrap_or_default();
        assert!(error.starts_with(want), "{input}: {error}");
        assert_eq!(out + &remarks, "", "{input}");
    }
    let (.., error) = ran("--from-kube-proxy /absent.conf", "");
    assert_eq!(
        error.unwrap(),
        "/absent.conf: can't be read: No such file or directory (os error 2)"
    );
}

/// The report finds the fields of weir's in the words of the table.
#[test]
fn each_honoured_field_names_what_it_becomes() {
    let text = fs::read_to_string(here("kube-proxy/every-field.yaml")).unwrap();
    let modes = [
        ("ipvs", "ClusterCIDR"),
        ("nftables", "BridgeInterface"),
        ("iptables", "InterfaceNamePrefix"),
    ];
    for field in FIELDS {
        let reports = modes.map(|(mode, detect)| {
            let text = text.replace("mode: ipvs", &format!("mode: {mode}"));
            let text =
                text.replace("detectLocalMode: ClusterCIDR", &format!("detectLocalMode: {detect}"));
            migrate(Path::new("x"), &text, Path::new("weir.yaml")).unwrap().report
        });
        let settings = reports.iter().flat_map(|report| &report.settings);
        let settings: Vec<_> = settings.filter(|setting| setting.field == field.path).collect();
        assert_eq!(settings.len(), 3, "{} isn't told", field.path);
        let named = settings.iter().any(|it| !it.becomes.is_empty());
        let by_words = settings.iter().any(|it| it.text.starts_with("the family of the default"));
        match field.fate {
            Fate::Honoured(_) => assert!(named || by_words, "{}", field.path),
            _ => assert!(!named && settings.iter().all(|it| !it.text.is_empty()), "{}", field.path),
        }
    }
}

#[test]
fn each_mode_is_told_what_differs_for_it() {
    let told = |mode: &str| {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        let text = format!("{head}mode: \"{mode}\"\n");
        let report = migrate(Path::new("x"), &text, Path::new("weir.yaml")).unwrap().report;
        let differs = |about: &str| report.differences.iter().any(|it| it.about == about);
        (
            differs("Scheduler"),
            differs("iptables mode"),
            differs("Invalid packets"),
            differs("Ping"),
        )
    };
    assert_eq!(told("ipvs"), (true, false, true, false));
    assert_eq!(told("nftables"), (false, false, true, true));
    assert_eq!(told("iptables"), (false, true, false, true));
    assert_eq!(told(""), told("iptables"));
}
