//! Where the daemon's processor time goes: samples of all threads' stacks, in pprof's format.
//!
//! A signal interrupts whichever thread runs and looks at its stack. It looks away where that thread is
//! in a library that may hold a lock which unwinding takes, so it needs those to be libraries of
//! their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pprof::protos::Message as _;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

/// Samples a second of processor time; no divisor of usual timers, whose work it would always or never meet.
const FREQUENCY: i32 = 99;
/// Libraries in which no stack is looked at.
const LOOK_AWAY: [&str; 5] = ["libc", "libgcc", "libpthread", "ld-linux", "vdso"];

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum NoProfile {
    /// Another is being taken.
    #[error("another profile is being taken")]
    Busy,
    /// The C library is part of the program, so nobody can tell when to look away.
    #[error("a statically linked weir takes no profiles: use perf")]
    Unsafe,
    /// The profiler can't.
    #[error("no profile: {0}")]
    Failed(String),
}

/// One at a time: the timer and the signal are the process's.
static TAKING: AtomicBool = AtomicBool::new(false);

struct Turnstile;

impl Turnstile {
    fn enter() -> Result<Self, NoProfile> {
        let free =
            TAKING.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if free { Ok(Self) } else { Err(NoProfile::Busy) }
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        TAKING.store(false, Ordering::Release);
    }
}

/// Samples for so long. The profile as a `perftools.profiles.Profile`, not compressed.
///
/// # Errors
/// Another is being taken, or none can be.
pub async fn take(time: Duration) -> Result<Vec<u8>, NoProfile> {
    if cfg!(target_feature = "crt-static") {
        return Err(NoProfile::Unsafe);
    }
    let turnstile = Turnstile::enter()?;
    let failed = |error: &dyn std::fmt::Display| NoProfile::Failed(error.to_string());
    // It unwinds once itself, and reads all debugging symbols for that.
    let begun = tokio::task::spawn_blocking(|| {
        ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&LOOK_AWAY).build()
    });
    let guard = begun.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    tracing::info!(seconds = time.as_secs(), "a CPU profile is being taken");
    tokio::time::sleep(time).await;
    let encoded = tokio::task::spawn_blocking(move || {
        let encoded = encode(&guard);
        drop((guard, turnstile));
        encoded
    });
    encoded.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn encode(guard: &ProfilerGuard<'_>) -> Result<Vec<u8>, String> {
    let report = guard.report().build().map_err(|error| error.to_string())?;
    let profile = report.pprof().map_err(|error| error.to_string())?;
    profile.write_to_bytes().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pprof::protos::Profile;

    use super::*;

    /// Work that a sampler can't miss.
    #[inline(never)]
    fn toil_for_the_profile(done: &AtomicBool) -> u64 {
        let mut sum = 0_u64;
        while !done.load(Ordering::Relaxed) {
            sum = (0..10_000_u64).fold(sum, |sum, it| std::hint::black_box(sum ^ it));
        }
        sum
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_profile_names_what_was_busy_and_none_is_taken_beside_it() {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        let busy = std::thread::spawn(move || toil_for_the_profile(&is_done));
        let taking = tokio::spawn(take(Duration::from_secs(1)));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(matches!(take(Duration::from_secs(1)).await, Err(NoProfile::Busy)));
        let bytes = taking.await.unwrap().unwrap();
        done.store(true, Ordering::Relaxed);
        busy.join().unwrap();
        let profile = Profile::parse_from_bytes(&bytes).unwrap();
        assert!(!profile.sample.is_empty(), "nothing was sampled");
        let names = profile.string_table.join("\n");
        assert!(names.contains("toil_for_the_profile"), "{names}");
        assert!(Turnstile::enter().is_ok(), "the next may come");
    }
}
