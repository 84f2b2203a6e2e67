use std::fs;

use super::*;
use crate::config::{LogLevel, Packets};

const HEAD: &str = "apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n";

/// Everything that has to wait, and something that hasn't.
const ALL: &str = "nodeName: other
kubeconfig: k
apiServers: ['https://10.0.0.1:6443']
serviceProxyName: weir
dataplane: ipvs
ipvs: {vips: address, tcpTimeout: 7s}
health: {address: '127.0.0.1:1', required: true}
metrics: {address: '127.0.0.1:2', required: true, profiling: true, statusPage: off, countTraffic: 5s}
log: {format: json, level: warn}
paths: {runDir: /run/x, cacheDir: /var/x}
offload: {afterPackets: 7}
";

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.yaml");
    fs::write(&path, format!("{HEAD}{text}")).unwrap();
    (dir, path)
}

fn parsed(text: &str) -> Config {
    parse(Path::new("/etc/weir.yaml"), &format!("{HEAD}{text}"), &Overrides::default()).unwrap().0
}

fn threshold(found: Option<Result<Loaded, ConfigErrors>>) -> Option<u64> {
    Some(found?.unwrap().0.offload.after_packets.get())
}

#[test]
fn what_is_new_is_told_once_and_flags_beat_it() {
    let (_dir, path) = file("offload: {afterPackets: 5}");
    let flags = Overrides { log_level: Some(LogLevel::Error), ..Overrides::default() };
    let (mut it, (config, _)) = ConfigFile::open(Some(&path), flags).unwrap();
    assert_eq!(config.offload.after_packets, Packets::new(5));
    assert!(it.look().is_none(), "nothing is new");
    fs::write(&path, format!("{HEAD}offload: {{afterPackets: 6}}\nlog: {{level: trace}}")).unwrap();
    let (config, _) = it.look().unwrap().unwrap();
    assert_eq!(
        (config.offload.after_packets, config.log.level),
        (Packets::new(6), LogLevel::Error)
    );
    assert!(it.look().is_none());
}

#[test]
fn what_is_wrong_is_told_once_with_file_line_and_field_and_mended() {
    let (dir, path) = file("offload: {afterPackets: 5}");
    let (mut it, _) = ConfigFile::open(Some(&path), Overrides::default()).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let cases = [
        ("offload: {afterPackets: -1}", "weir.yaml:3: offload.afterPackets: "),
        ("ofload: {}", "weir.yaml:3: ofload: "),
        ("offload: {afterPa", "weir.yaml:"),
    ];
    for (text, want) in cases {
        fs::write(&path, format!("{HEAD}{text}")).unwrap();
        let words = it.look().unwrap().unwrap_err().to_string();
        assert!(words.contains(want), "{text}: {words}");
        assert!(it.look().is_none(), "{text}: told twice");
    }
    fs::write(&path, "").unwrap();
    assert!(it.look().unwrap().is_err(), "a file that is just being written");
    fs::remove_file(&path).unwrap();
    assert!(it.look().unwrap().unwrap_err().to_string().contains("can't be read"));
    fs::write(dir.path().join("new"), &good).unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(threshold(it.look()), Some(5), "the same as at first is news after a bad one");
}

#[test]
fn a_pipe_is_read_once_and_holds_nobody_up() {
    let (dir, path) = file("");
    let (mut it, _) = ConfigFile::open(Some(&path), Overrides::default()).unwrap();
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let words = it.look().unwrap().unwrap_err().to_string();
    assert!(words.contains("not a regular file"), "{words}");
    let flags = Overrides::default();
    let writer = std::thread::spawn(move || {
        fs::write(dir.path().join("weir.yaml"), HEAD).unwrap();
        dir
    });
    let (mut piped, _) = ConfigFile::open(Some(&path), flags).unwrap();
    drop(writer.join().unwrap());
    assert!(piped.path().is_none() && piped.look().is_none());
}

#[test]
fn a_kube_proxy_file_is_read_again_as_well() {
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    let (_dir, path) = file("");
    fs::write(&path, format!("{head}mode: ipvs\nipvs: {{scheduler: lc}}\n")).unwrap();
    let (mut it, (config, _)) = ConfigFile::open(Some(&path), Overrides::default()).unwrap();
    assert_eq!(config.ipvs.scheduler.as_str(), "lc");
    fs::write(&path, format!("{head}mode: ipvs\nipvs: {{scheduler: sh}}\n")).unwrap();
    let (new, _) = it.look().unwrap().unwrap();
    assert_eq!(changes(&config, &new), ["ipvs.scheduler"]);
}

#[test]
fn what_needs_a_restart_stays_and_the_rest_is_taken() {
    let running = Config::default();
    let mut new = parsed(ALL);
    let all = changes(&running, &new);
    let kept = keep_until_restart(&running, &mut new);
    // `manifests` is the one field that can't stand beside the others.
    let want: Vec<_> = NEEDS_RESTART.iter().copied().filter(|it| *it != "manifests").collect();
    assert_eq!(kept, want);
    let taken = changes(&running, &new);
    let mut live = all;
    live.retain(|field| !NEEDS_RESTART.contains(&field.as_str()));
    assert_eq!(taken, live, "each name is the field's own");
    assert_eq!(
        taken,
        [
            "dataplane",
            "ipvs.tcpTimeout",
            "log.level",
            "metrics.countTraffic",
            "offload.afterPackets"
        ]
    );
    let mut new = parsed("manifests: m");
    assert_eq!(keep_until_restart(&running, &mut new), ["manifests"]);
    assert_eq!(new, running);
}
