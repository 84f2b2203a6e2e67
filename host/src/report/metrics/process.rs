//! This process, under the names of Prometheus' client libraries. Reads /proc/self.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rustix::process::{Resource, getrlimit};

use super::book::Book;
use super::number;

/// What /proc counts times in, a second: USER_HZ, which is 100 on every architecture that weir runs on.
const TICKS: f64 = 100.0;

/// This process.
#[derive(Default)]
pub struct ProcessMetrics {
    cpu: Counter<f64, AtomicU64>,
    start: Gauge<f64, AtomicU64>,
    resident: Gauge,
    virtual_memory: Gauge,
    open: Gauge,
    most_open: Gauge,
    threads: Gauge,
}

impl ProcessMetrics {
    pub(super) fn registered(book: &mut Book) -> Self {
        let all = Self::default();
        let help = "Processor time used, in user and in system mode, in seconds";
        book.put("process_cpu_seconds_total", help, &all.cpu);
        let help = "When the process started, in seconds since 1970";
        book.put("process_start_time_seconds", help, &all.start);
        book.put("process_resident_memory_bytes", "Resident memory, in bytes", &all.resident);
        book.put("process_virtual_memory_bytes", "Virtual memory, in bytes", &all.virtual_memory);
        book.put("process_open_fds", "Open file descriptors", &all.open);
        book.put("process_max_fds", "The most file descriptors that may be open", &all.most_open);
        book.put("process_threads", "Threads", &all.threads);
        all
    }

    /// Looks at the process now. What can't be read stays as it was.
    pub fn look(&self) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        if let Some(used) = Used::of(&read("/proc/self/stat")) {
            self.cpu.inner().store(used.cpu.to_bits(), Ordering::Relaxed);
            if let Some(boot) = boot_time(&read("/proc/stat")) {
                self.start.set(boot + used.started);
            }
            self.threads.set(used.threads);
        }
        let status = read("/proc/self/status");
        for (field, gauge) in [("VmRSS:", &self.resident), ("VmSize:", &self.virtual_memory)] {
            if let Some(bytes) = bytes(&status, field) {
                gauge.set(bytes);
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the look itself.
            self.open.set(number(open.count().saturating_sub(1)));
        }
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        self.most_open.set(number(most));
    }
}

/// Of proc_pid_stat(5). Times are in seconds, the start counts from boot.
#[derive(Debug, PartialEq)]
struct Used {
    cpu: f64,
    started: f64,
    threads: i64,
}

impl Used {
    fn of(stat: &str) -> Option<Self> {
        // The name in brackets may hold anything; the third field comes after it.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let threads = fields.get(20 - 3)?.parse().ok()?;
        Some(Self { cpu: (field(14)? + field(15)?) / TICKS, started: field(22)? / TICKS, threads })
    }
}

/// `btime` of proc_stat(5), in seconds since 1970.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// A field of proc_pid_status(5), which are in KiB.
fn bytes(status: &str, field: &str) -> Option<i64> {
    let text = status.lines().find_map(|line| line.strip_prefix(field))?;
    text.trim().strip_suffix(" kB")?.parse::<i64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_process_is_called() {
        let stat =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000 200 18";
        assert_eq!(Used::of(stat), Some(Used { cpu: 3.0, started: 123.45, threads: 9 }));
        for broken in ["", "7 (weir", "7 (weir) S 1"] {
            assert_eq!(Used::of(broken), None, "{broken}");
        }
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
        assert_eq!(bytes("VmSize:\t  20 kB\nVmRSS:\t 3 kB\n", "VmRSS:"), Some(3072));
        assert_eq!(bytes("VmRSS:\t3\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let metrics = ProcessMetrics::default();
        metrics.look();
        assert!(metrics.resident.get() > 1 << 20 && metrics.open.get() > 0);
        let now = f64::from(u32::try_from(crate::drive::millis() / 1000).unwrap());
        let age = now - metrics.start.get();
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
