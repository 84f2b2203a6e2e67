//! Boots real guests. Each takes seconds and needs QEMU, so they are run by `make test` and by
//! `cargo test -p weir-vm -- --include-ignored`, not by a plain `cargo test`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use weir_vm::{Ending, Guest, Series};

const LIMIT: Duration = Duration::from_secs(120);

fn guest() -> Guest {
    Guest::new(Series::DEFAULT).timeout(LIMIT)
}

#[test]
#[ignore = "boots a guest"]
fn files_go_in_and_out_and_the_status_comes_back() {
    let host = tempfile::tempdir().unwrap();
    let (shared, out) = (host.path().join("in"), host.path().join("out"));
    fs::create_dir_all(shared.join("deep")).unwrap();
    fs::write(shared.join("deep/file"), "from the host\n").unwrap();
    let line = "cat deep/file /opt/single; echo \"$GREETING\" >/dev/stderr; mkdir /out/d
        echo written >deep/file; cp deep/file /out/d/; (sleep 1000 &); exit 7";
    let outcome = guest()
        .share(&shared, "/share")
        .file(shared.join("deep/file"), "/opt/single")
        .env("GREETING", "it's a $TEST")
        .out(&out)
        .run(line)
        .unwrap();
    assert_eq!(outcome.ending, Ending::Exited(7), "{}", outcome.console);
    assert_eq!(outcome.stdout, "from the host\nfrom the host\n");
    assert_eq!(outcome.stderr, "it's a $TEST\n");
    assert_eq!(fs::read_to_string(out.join("d/file")).unwrap(), "written\n");
    assert_eq!(fs::read_to_string(shared.join("deep/file")).unwrap(), "from the host\n");
}

#[test]
#[ignore = "boots a guest"]
fn a_slow_guest_is_killed_and_a_panicked_one_is_dead() {
    let slow = guest().timeout(Duration::from_secs(12)).run("sleep 100").unwrap();
    assert_eq!(slow.ending, Ending::TimedOut);
    assert!(slow.elapsed < Duration::from_secs(20), "{:?}", slow.elapsed);
    let dead = guest().run("echo c >/proc/sysrq-trigger; sleep 100").unwrap();
    assert_eq!(dead.ending, Ending::Died);
    assert!(dead.console.contains("sysrq triggered crash"), "{}", dead.console);
}

#[test]
#[ignore = "boots guests"]
fn every_series_loads_ipvs_nftables_and_sctp_when_asked_for_them() {
    for series in Series::ALL {
        let line = "set -e; uname -r; ipvsadm -A -t 192.0.2.1:80 -s mh; ipvsadm -Sn
            ipvsadm -A --sctp-service 192.0.2.1:80 -s wlc
            nft 'add table inet t; add flowtable inet t f { hook ingress priority 0; }'
            ip link add dummy9 type dummy; ip link add veth9 type veth; ip link add br9 type bridge
            modprobe sctp";
        let outcome = Guest::new(series).timeout(LIMIT).run(line).unwrap();
        assert_eq!(outcome.ending, Ending::Exited(0), "{series}: {}", outcome.stderr);
        assert!(outcome.stdout.starts_with(&format!("{series}.")), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("-A -t 192.0.2.1:80 -s mh"), "{}", outcome.stdout);
    }
}

#[test]
#[ignore = "boots guests"]
fn counted_instructions_repeat_within_a_hundredth() {
    let work =
        "start=$(cut -d' ' -f1 /proc/uptime); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
        echo \"$(cut -d' ' -f1 /proc/uptime) $start\" | awk '{print ($1 - $2) * 100}'";
    let measure = || {
        let outcome = guest().icount(0).run(work).unwrap();
        outcome.stdout.trim().parse::<f64>().expect("a time in hundredths of a second")
    };
    let (first, second) = (measure(), measure());
    assert!(first > 5.0, "{first} is too short to compare");
    // The clock shows hundredths of a second: one more may be its rounding.
    assert!((first - second).abs() <= first * 0.01 + 1.0, "{first} and {second}");
}

#[test]
#[ignore = "boots a guest"]
fn qemu_dies_with_a_harness_that_was_killed_outright() {
    let mark = format!("weir-orphan-{}", std::process::id());
    let mut harness = Command::new(env!("CARGO_BIN_EXE_weir-vm"))
        .args(["run", "--append", &mark, "--", "sleep 100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("QEMU to start", || qemu_with(&mark));
    harness.kill().unwrap();
    harness.wait().unwrap();
    wait_for("QEMU to end", || !qemu_with(&mark));
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !reached() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a QEMU with this word on its guest's command line is alive.
fn qemu_with(mark: &str) -> bool {
    let runs = |process: &Path| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("qemu-system") && line.contains(mark)
    };
    fs::read_dir("/proc").expect("/proc is readable").flatten().any(|entry| runs(&entry.path()))
}
