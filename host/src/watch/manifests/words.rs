//! The YAML parser's errors in words for an operator, without the place: that is told apart. Pure.

use std::borrow::Cow;

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::localizer::Localizer;
use serde_saphyr::{
    DefaultMessageFormatter, Error, Location, MessageFormatter, RenderOptions, SnippetMode,
};

use super::limits::Limits;

/// The line, counted from 1, and what is wrong there.
pub(super) fn words(error: &Error, limits: &Limits) -> (Option<usize>, String) {
    let line = error.location().and_then(|at| usize::try_from(at.line()).ok());
    let formatter = Formatter { limits };
    let mut options = RenderOptions::new(&formatter);
    options.snippets = SnippetMode::Off;
    (line.filter(|&line| line > 0), error.render_with_options(options))
}

struct Formatter<'a> {
    limits: &'a Limits,
}

impl MessageFormatter for Formatter<'_> {
    fn localizer(&self) -> &dyn Localizer {
        &WithoutPlace
    }

    fn format_message<'a>(&self, error: &'a Error) -> Cow<'a, str> {
        let Limits { values, alias_values, depth, .. } = self.limits;
        match error {
            Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("the key {key:?} stands here twice").into()
            }
            Error::AliasReplayLimitExceeded { .. } => {
                format!("aliases stand for more than {alias_values} values").into()
            }
            Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
                format!("nests deeper than {depth}").into()
            }
            Error::Budget {
                breach: BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. },
                ..
            } => format!("the file holds more than {values} values").into(),
            other => DefaultMessageFormatter.format_message(other),
        }
    }
}

struct WithoutPlace;

impl Localizer for WithoutPlace {
    fn attach_location<'a>(&self, base: Cow<'a, str>, _: Location) -> Cow<'a, str> {
        base
    }

    fn alias_defined_at(&self, _: Location) -> String {
        String::new()
    }

    fn alias_used_at(&self, _: Location) -> String {
        String::new()
    }
}
