//! Strict reverse path filters on a node with several ways out. Reads sysctls; changes nothing.
//!
//! `rp_filter` is IPv4's alone (Documentation/networking/ip-sysctl.rst): the greater of `all` and an
//! interface's own counts.

use std::io;

use super::sysctl::ProcSys;

const STRICT: u64 = 1;

/// The uplinks with a strict filter, where there are several uplinks.
///
/// # Errors
/// A sysctl can't be read.
pub(super) fn strict<'a>(uplinks: &[&'a str], sys: &ProcSys) -> io::Result<Vec<&'a str>> {
    if uplinks.len() < 2 {
        return Ok(Vec::new());
    }
    let all = sys.read_of("all", "rp_filter")?;
    let mut strict = Vec::new();
    for uplink in uplinks {
        if all.max(sys.read_of(uplink, "rp_filter")?) == STRICT {
            strict.push(*uplink);
        }
    }
    Ok(strict)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_greater_of_all_and_its_own_counts() {
        let cases = [
            ("0", "0", "0", vec![]),
            ("0", "1", "0", vec!["eth0.5"]),
            ("1", "0", "2", vec!["eth0.5"]),
            ("1", "1", "1", vec!["eth0.5", "eth1"]),
            ("2", "1", "1", vec![]),
        ];
        for (all, first, second, want) in cases {
            let dir = tempfile::tempdir().unwrap();
            for (name, value) in [("all", all), ("eth0.5", first), ("eth1", second)] {
                let folder = dir.path().join("net/ipv4/conf").join(name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("rp_filter"), format!("{value}\n")).unwrap();
            }
            let sys = ProcSys::at(dir.path());
            assert_eq!(strict(&["eth0.5", "eth1"], &sys).unwrap(), want, "{all} {first} {second}");
            assert_eq!(strict(&["eth0.5"], &sys).unwrap(), Vec::<&str>::new(), "one uplink");
            assert!(strict(&["eth0.5", "gone"], &sys).is_err());
        }
    }
}
