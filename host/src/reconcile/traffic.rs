//! What service ports carried since policies were last asked about them. Pure but for the kernel's door.
//!
//! Read at the time of asking, and only for policies that want it.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::compile::PortKey;
use weir_core::kernel::{Kernel, ObserveError, Traffic};
use weir_core::net::ObjectName;
use weir_core::state::VirtualKey;
use weir_core::view::Counters;

/// What was read last for one service port; `None` for a virtual service that wasn't there.
struct Reading {
    at: u64,
    totals: BTreeMap<VirtualKey, Option<Traffic>>,
}

/// The last readings.
#[derive(Default)]
pub(super) struct Meters {
    last: BTreeMap<(ObjectName, PortKey), Reading>,
    failed: Vec<String>,
}

impl Meters {
    /// Reads what these virtual services of a service port carried since the last reading; `None` at
    /// the first, where none of them is there, and where the kernel can't say. `now` is milliseconds
    /// since 1970.
    pub(super) fn read(
        &mut self,
        kernel: &mut impl Kernel,
        of: (ObjectName, PortKey),
        keys: &BTreeSet<VirtualKey>,
        now: u64,
    ) -> Option<Counters> {
        let totals: Result<BTreeMap<_, _>, ObserveError> =
            keys.iter().map(|key| Ok((*key, kernel.traffic(*key)?))).collect();
        let totals = match totals {
            Ok(totals) => totals,
            Err(error) => {
                // The next reading then covers the time of both.
                self.failed.push(format!("{} {}: {}", of.0, of.1, crate::kernel::words(&error)));
                return None;
            }
        };
        let reading = Reading { at: now, totals };
        let counters = self.last.get(&of).and_then(|before| since(before, &reading));
        self.last.insert(of, reading);
        counters
    }

    /// Forgets a service that is gone.
    pub(super) fn forget(&mut self, service: &ObjectName) {
        self.last.retain(|(of, _), _| of != service);
    }

    /// What could not be read since this was asked last, in words.
    pub(super) fn take_failed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failed)
    }
}

fn since(before: &Reading, now: &Reading) -> Option<Counters> {
    let milliseconds = now.at.saturating_sub(before.at);
    let seconds = u32::try_from(milliseconds / 1000).unwrap_or(u32::MAX);
    let mut sum = Counters { seconds, ..Counters::default() };
    let mut there = false;
    for (key, total) in &now.totals {
        let Some(total) = total else { continue };
        there = true;
        sum.active_connections += total.open;
        // One that nobody looked at before has carried an unknown part of it earlier.
        if let Some(known) = before.totals.get(key) {
            add(&mut sum, &known.unwrap_or_default(), total);
        }
    }
    there.then_some(sum)
}

fn add(sum: &mut Counters, before: &Traffic, now: &Traffic) {
    // A virtual service that was made anew counts from zero again.
    let anew = now.connections < before.connections || now.bytes_in < before.bytes_in;
    let before = if anew { Traffic::default() } else { *before };
    sum.connections += now.connections.saturating_sub(before.connections);
    sum.packets_in += now.packets_in.saturating_sub(before.packets_in);
    sum.packets_out += now.packets_out.saturating_sub(before.packets_out);
    sum.bytes_in += now.bytes_in.saturating_sub(before.bytes_in);
    sum.bytes_out += now.bytes_out.saturating_sub(before.bytes_out);
}
