//! How many processors the node has. Reads /sys.

use std::fs;

/// Processors that are online, whatever share of them this process may use: what the node's
/// connections come from doesn't depend on a pod's limits.
#[must_use]
pub fn online() -> u32 {
    let listed = fs::read_to_string("/sys/devices/system/cpu/online");
    // Where /sys is hidden, what this process may use is the best that is known.
    listed.ok().and_then(|list| count(&list)).unwrap_or_else(|| {
        std::thread::available_parallelism()
            .map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
    })
}

/// `0-3,5` is five. `None` for what isn't such a list.
fn count(list: &str) -> Option<u32> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_counted() {
        let cases = [
            ("0\n", Some(1)),
            ("0-3\n", Some(4)),
            ("0-3,5,8-9\n", Some(7)),
            ("", None),
            ("3-0", None),
            ("0-4294967295", None),
            ("a-b", None),
        ];
        for (list, want) in cases {
            assert_eq!(count(list), want, "{list:?}");
        }
    }

    #[test]
    fn a_limit_of_this_process_makes_no_fewer() {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap();
        let there = text.lines().filter(|line| line.starts_with("processor")).count();
        assert!(there == 0 || online() as usize == there, "{} of {there}", online());
    }
}
