//! The loop on a clock of the test's own: what happens by itself, and after how long.

use std::sync::Mutex;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A running loop that looks at the kernel once an hour, and whose time passes only as told.
struct Timed {
    it: Subject,
    time: Arc<Mutex<Instant>>,
}

fn timed() -> Timed {
    let mut it = running(two_services());
    let began = Instant::now();
    let time = Arc::new(Mutex::new(began));
    let shown = Arc::clone(&time);
    it.drive.clock = Box::new(move || *shown.lock().unwrap());
    let mut pace = Pace::new(it.drive.config.sync.min_sync_period.get(), HOUR);
    pace.synced(began);
    pace.looked(began);
    it.drive.pace = pace;
    it.drive.next_chores = began + HOUR;
    Timed { it, time }
}

impl Timed {
    /// As [`Drive::run`] without commands: sleeps until something is due, and does it.
    fn passes(&mut self, by: Duration) {
        let end = self.it.drive.now() + by;
        for _ in 0..10_000 {
            let next = self.it.drive.next_wake().max(self.it.drive.now());
            *self.time.lock().unwrap() = next.min(end);
            if next > end {
                return;
            }
            self.it.drive.wake();
        }
        panic!("it never sleeps");
    }
}

#[test]
fn what_somebody_flushed_is_written_again_within_three_seconds_without_a_resync() {
    for (when, after) in [("at a look", 0), ("between", 300), ("right before the next", 999)] {
        let mut timed = timed();
        let looks = timed.it.looks();
        timed.passes(Duration::from_millis(20_000 + after));
        assert_eq!(timed.it.looks(), looks, "{when}: nothing is gone, so one service is asked for");
        // A sync has just ended: the least time between two is to pass as well.
        timed.it.tell(Event::Changes(vec![slice("web", &["10.1.0.9"])]));
        timed.passes(Duration::ZERO);
        let right = timed.it.node().kernel.state.clone();
        assert!(!right.virtuals.is_empty());
        timed.it.node().kernel.state.virtuals.clear();
        timed.passes(Duration::from_secs(3));
        assert!(timed.it.node().kernel.state == right, "{when}: it isn't back");
        assert_eq!(timed.it.looks().0, looks.0 + 1, "{when}: one look was enough");
    }
}

#[test]
fn what_nothing_tells_of_waits_for_the_resync() {
    let mut timed = timed();
    let right = timed.it.node().kernel.state.clone();
    let server = |state: &mut KernelState| {
        let last = state.virtuals.values_mut().next_back().unwrap();
        Arc::make_mut(last).destinations.clear();
    };
    server(&mut timed.it.node().kernel.state);
    timed.passes(HOUR - Duration::from_secs(1));
    assert!(timed.it.node().kernel.state != right, "the test above would pass by a resync");
    timed.passes(Duration::from_secs(3));
    assert!(timed.it.node().kernel.state == right);
}
