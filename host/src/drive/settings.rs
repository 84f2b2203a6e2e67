//! The configuration while the daemon runs: its file is read again, and what is new in it takes effect.
//!
//! What is worked out from a setting is worked out here and at the start by the same functions; what is
//! read from it when it is needed needs nothing.

use std::path::{Path, PathBuf};

use weir_core::model::Touched;

use crate::base;
use crate::config::{Config, ConfigErrors, ConfigFile, Notice, changes, keep_until_restart};
use crate::files::FileWatch;
use crate::kernel::processors;
use crate::log;
use crate::report::status;

use super::{Drive, Machine, Reloads, millis, traffic};

/// The most errors of one file that are told.
const TOLD: usize = 16;

/// Where the configuration comes from, and what is to be told of it.
#[derive(Default)]
pub(super) struct Settings {
    file: ConfigFile,
    watch: Option<FileWatch>,
    /// When what is in force was taken in, in milliseconds since 1970.
    since: u64,
    /// What is wrong with the file as it is now.
    wrong: Vec<String>,
    /// Fields whose values in the file wait for a restart.
    waiting: Vec<&'static str>,
}

impl<K: Machine, P: Reloads> Drive<K, P> {
    /// The same, which reads this file again whenever it may have changed.
    #[must_use]
    pub fn reading(mut self, file: ConfigFile, watch: Option<FileWatch>) -> Self {
        let metrics = &self.shared.metrics.config;
        self.settings = Settings { file, watch, since: millis(), ..Settings::default() };
        metrics.taken(self.settings.since);
        self
    }

    /// The configuration's file or a policy's may be another one.
    pub(super) fn refresh_files(&mut self) {
        match self.settings.file.look() {
            None => {}
            Some(Ok((config, notices))) => self.take_configuration(config, &notices),
            Some(Err(errors)) => self.refuse_configuration(&errors),
        }
        self.refresh_policies();
        let Settings { file, watch, .. } = &mut self.settings;
        if let Some(watch) = watch {
            let policies = self.config.policies.iter().map(|it| it.file.as_path());
            watch.follow(policies.chain(file.path()));
        }
    }

    fn refuse_configuration(&mut self, errors: &ConfigErrors) {
        self.settings.wrong = errors.errors().iter().map(ToString::to_string).collect();
        for error in errors.errors().iter().take(TOLD) {
            let file = error.file.as_deref().map(Path::display);
            let file = file.map_or_else(String::new, |it| it.to_string());
            let (line, field) = (error.line, error.path.to_string());
            tracing::error!(
                file,
                line,
                field,
                reason = error.text,
                "the configuration can't be used; the one before stays in force"
            );
        }
        self.shared.metrics.config.refused();
    }

    fn take_configuration(&mut self, mut new: Config, notices: &[Notice]) {
        if !std::mem::take(&mut self.settings.wrong).is_empty() {
            tracing::info!("the configuration can be used again");
        }
        log::notices(notices);
        let waiting = keep_until_restart(&self.config, &mut new);
        for field in waiting.iter().filter(|it| !self.settings.waiting.contains(it)) {
            tracing::warn!(field, "changed in the configuration; it takes effect with a restart");
        }
        self.shared.metrics.config.wait_for_restart(waiting.len());
        self.settings.waiting = waiting;
        let fields = changes(&self.config, &new);
        if !fields.is_empty() {
            tracing::info!(fields = fields.join(" "), "the configuration changed");
            let before = std::mem::replace(&mut self.config, new);
            self.reconfigure(&before);
        }
        self.settings.since = millis();
        self.shared.metrics.config.taken(self.settings.since);
    }

    /// Works out anew what follows from the configuration, which is another one than `before`. Nothing is
    /// written here that is as it should be.
    fn reconfigure(&mut self, before: &Config) {
        self.shared.set_config(&self.config);
        self.set_rhythm();
        let level = self.config.log.level;
        // Who changed it by hand for a while wants it so whatever else changes.
        if level != before.log.level && log::set_level(level).is_err() {
            tracing::warn!("the log's level can't be changed");
        }
        if (&self.config.ipvs, &self.config.conntrack) != (&before.ipvs, &before.conntrack) {
            self.sysctls = self.all.kernel.settle(&self.config);
        }
        self.forget_counts();
        self.all.set_drain_limit(base::drain_limit(&self.config));
        self.all.set_defaults(base::defaults(&self.config, processors::online()));
        if self.all.policies.reconfigure(&self.config) {
            // Those that are gone count nothing any more.
            self.shared.metrics.policies.forget();
            self.heavy = true;
            self.all.touch(Touched::all());
            self.all.forget_groups();
        }
        self.set_base();
        self.take_addresses_again();
        if self.all.has_work() {
            self.queued();
        }
    }

    /// A period that is shorter now isn't waited for as long as it was.
    fn set_rhythm(&mut self) {
        let sync = &self.config.sync;
        self.pace.set(sync.min_sync_period.get(), sync.sync_period.get());
        self.shared.health().set_period(sync.sync_period.get());
        self.all.set_patience(base::patience(&self.config));
        self.source.every(sync.refresh_period.get());
        let now = self.now();
        self.next_chores = self.next_chores.min(now + sync.sync_period.get());
        self.next_news = self.next_news.min(now + sync.min_sync_period.get());
        self.next_drains = self.next_drains.min(now + self.config.drain.interval.get());
        let counts = [
            (&mut self.next_count, self.config.offload.count_flows),
            (&mut self.next_traffic, self.config.metrics.count_traffic),
        ];
        for (next, period) in counts {
            *next = (*next).min(now + period.get());
        }
    }

    /// What isn't counted any more isn't shown either.
    fn forget_counts(&mut self) {
        if self.config.offload.count_flows.is_zero() {
            self.all.forget_flows();
        }
        if self.config.metrics.count_traffic.is_zero() {
            self.traffic = traffic::Sums::default();
            self.shared.metrics.traffic.forget_carried();
        }
    }

    pub(super) fn configuration(&self) -> status::Configuration {
        let Settings { file, since, wrong, waiting, .. } = &self.settings;
        let file = file.path().map(PathBuf::from);
        status::Configuration {
            file: file.map(|it| it.display().to_string()),
            since: *since,
            wrong: wrong.clone(),
            needs_restart: waiting.iter().map(ToString::to_string).collect(),
        }
    }
}
