//! What a scenario tells, file by file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weir::reconcile::Turn;
use weir::watch::Report;

use crate::World;
use crate::folder::Folder;

/// The files that came out.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) files: BTreeMap<String, String>,
}

impl Told {
    fn problem(&mut self, step: usize, line: impl std::fmt::Display) {
        let text = self.files.entry("problems.txt".into()).or_default();
        // Writing to a String can't fail.
        let _ = writeln!(text, "{step}: {line}");
    }

    pub(crate) fn report(&mut self, step: usize, report: &Report) {
        for it in &report.appeared {
            self.problem(step, it);
        }
        for it in &report.mended {
            self.problem(step, format_args!("mended: {it}"));
        }
        for kind in report.ignored.iter().flat_map(|it| it.keys()) {
            self.problem(step, format_args!("no use for {kind}"));
        }
    }

    pub(crate) fn turn(&mut self, step: usize, turn: &Turn) {
        let name = if step == 0 { "plan.txt".into() } else { format!("plan-{step}.txt") };
        let plan =
            if turn.plan.is_empty() { "nothing to do\n".into() } else { turn.plan.to_string() };
        self.files.insert(name, plan);
        for it in &turn.conflicts {
            self.problem(
                step,
                format_args!("{}: {} has it, {} wants it", it.key, it.winner, it.loser),
            );
        }
        for (operation, refusal) in &turn.refused {
            self.problem(step, format_args!("{operation}: {refusal}"));
        }
    }

    /// What was decided in the end, where policies had a say or the host a reason.
    pub(crate) fn decisions(&mut self, folder: &Folder, world: &World) {
        let mut text = String::new();
        for service in world.model.services() {
            for (port, it) in world.decided(&service.name).into_iter().flatten() {
                let it = &it.decision;
                if folder.decisions.is_empty() && it.reasons.is_empty() {
                    continue;
                }
                let _ = writeln!(
                    text,
                    "{} {port}: {} ({}), {} ({}), flags {} ({}), offload {} ({}), affinity {} ({})",
                    service.name,
                    it.dataplane.value,
                    it.dataplane.by,
                    it.scheduler.value,
                    it.scheduler.by,
                    it.flags.value,
                    it.flags.by,
                    it.offload.value,
                    it.offload.by,
                    it.affinity.value.map_or(0, u32::from),
                    it.affinity.by,
                );
                for note in &it.notes {
                    let _ = writeln!(text, "  {} says: {}", note.by, note.value);
                }
                for reason in &it.reasons {
                    let _ = writeln!(text, "  {reason}");
                }
            }
        }
        if !text.is_empty() {
            self.files.insert("decisions.txt".into(), text);
        }
    }
}
