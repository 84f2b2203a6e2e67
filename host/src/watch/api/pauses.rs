//! How long to wait after a failure: longer each time, but not where a server is back.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::utils::{Backoff as _, ResetTimerBackoff};
use kube::runtime::watcher::ExponentialBackoff;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Patience;
use super::trouble::Meaning;

/// How long to wait after each failure of one kind.
pub(super) struct Pauses {
    backoff: ResetTimerBackoff<ExponentialBackoff>,
    patience: Patience,
    /// What the last failure meant.
    last: Option<Meaning>,
}

impl Pauses {
    pub(super) fn new(patience: Patience) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(patience.first_pause)
            .with_max_delay(patience.longest_pause)
            .with_factor(2.0)
            .without_max_times()
            .with_jitter();
        let backoff = ResetTimerBackoff::new(ExponentialBackoff::from(builder), patience.calm);
        Self { backoff, patience, last: None }
    }

    /// How long to wait after a failure that means this.
    ///
    /// A server that was away forgets its history, so that after it is back the first answer to many a
    /// watch is that it is outdated: that ends the outage, and isn't one more failure in its row.
    pub(super) fn after(&mut self, meaning: Meaning) -> Duration {
        let before = self.last.replace(meaning);
        if meaning == Meaning::Outdated && before != Some(Meaning::Outdated) {
            self.backoff.reset();
        }
        self.next()
    }

    /// How long to wait after something else went wrong.
    pub(super) fn next(&mut self) -> Duration {
        self.backoff.next().unwrap_or(self.patience.longest_pause)
    }
}

/// Waits for `pause`, or until `answered` tells of a good answer to whomever, and for the first pause
/// after that: where a server is back for one kind of objects, all others needn't find out by themselves.
pub(super) async fn rest(pause: Duration, patience: &Patience, answered: &mut watch::Receiver<()>) {
    tokio::select! {
        () = sleep(pause) => {}
        Ok(()) = answered.changed() => sleep(patience.first_pause.min(pause)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_secs(30),
        calm: Duration::from_secs(120),
        silence: Duration::from_secs(60),
        unserved: Duration::from_secs(300),
    };

    fn pauses(failures: usize) -> (Pauses, Duration) {
        let mut pauses = Pauses::new(PATIENCE);
        let after = (0..failures).map(|_| pauses.after(Meaning::Unreachable)).last();
        (pauses, after.unwrap_or_default())
    }

    #[test]
    fn pauses_grow_while_a_server_is_away() {
        let (_, first) = pauses(1);
        assert!(first >= PATIENCE.first_pause && first <= PATIENCE.first_pause * 2, "{first:?}");
        let (_, late) = pauses(20);
        assert!(late >= PATIENCE.longest_pause, "{late:?}");
    }

    #[test]
    fn a_server_that_is_back_and_forgot_its_history_isnt_waited_for() {
        let (mut pauses, _) = pauses(20);
        let back = pauses.after(Meaning::Outdated);
        assert!(back <= PATIENCE.first_pause * 2, "{back:?}");
        // One that always forgets isn't worn out.
        let late = (0..20).map(|_| pauses.after(Meaning::Outdated)).last().unwrap_or_default();
        assert!(late >= PATIENCE.longest_pause, "{late:?}");
    }

    #[tokio::test]
    async fn an_answer_to_another_ends_a_rest() {
        let (answers, mut answered) = watch::channel(());
        let rests = tokio::spawn(async move {
            rest(Duration::from_secs(3600), &PATIENCE, &mut answered).await;
        });
        tokio::task::yield_now().await;
        assert!(!rests.is_finished(), "nobody was answered");
        answers.send_replace(());
        let ended = tokio::time::timeout(Duration::from_secs(60), rests).await;
        assert!(ended.is_ok_and(|it| it.is_ok()), "it never ended");
    }

    #[tokio::test]
    async fn a_rest_ends_by_itself() {
        let (_answers, mut answered) = watch::channel(());
        rest(Duration::from_millis(1), &PATIENCE, &mut answered).await;
    }
}
