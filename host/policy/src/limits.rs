//! Every limit of the sandbox, in one place with its unit.
//!
//! Pure: numbers only. The sandbox, the host functions and the caches read them from here.

use std::time::Duration;

/// What a policy may use. Where no one says otherwise, [`Limits::default`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest component file that is compiled, in bytes. Compiling costs memory by the size of
    /// the code: about 10 MB for each MB.
    pub component_bytes: u64,
    /// Fuel of one evaluation (instantiate, configure and decide together), in WebAssembly
    /// instructions: the same everywhere, so a decision that fits on one node fits on all.
    pub fuel: u64,
    /// Fuel added for each endpoint in the view.
    pub fuel_per_endpoint: u64,
    /// Fuel that one call of a host function costs, so that calling the host is no way around
    /// the limit.
    pub fuel_per_host_call: u64,
    /// Wall-clock end of an evaluation. Only a backstop behind the fuel, hence far away: on a
    /// busy node an honest policy may wait long for a processor.
    pub deadline: Duration,
    /// Linear memory of an instance, all its memories together, in bytes.
    pub memory_bytes: usize,
    /// Elements of an instance's tables, all together.
    pub table_elements: usize,
    /// Core instances, memories and tables (each) in a component.
    pub instances: usize,
    /// Stack of WebAssembly frames, in bytes.
    pub stack_bytes: usize,
    /// Data copied out of the guest in one call of a host function or one return, in bytes.
    pub hostcall_bytes: usize,
    /// Answer of one evaluation, in bytes, without weights.
    pub answer_bytes: usize,
    /// Bytes that the answer may have more for each endpoint in the view.
    pub answer_bytes_per_endpoint: usize,
    /// Log lines of one evaluation.
    pub log_lines: usize,
    /// Log bytes of one evaluation.
    pub log_bytes: usize,
    /// Different counters of one policy.
    pub counters: usize,
    /// Groups that one interface can be put in by one policy.
    pub groups: usize,
    /// Decisions kept for one policy. Above it, those not asked for longest go.
    pub cached_decisions: usize,
    /// Evaluations in a row that fail by fuel, deadline or memory before a policy is suspended for a
    /// namespace: each costs tens of milliseconds, and ten thousand services would wait for them.
    pub costly_failures: u32,
    /// Namespaces for which a policy fails so, and answers nobody meanwhile, before it is suspended for
    /// all.
    pub failing_namespaces: usize,
    /// How long a policy stays suspended, unless its file or configuration changes before.
    pub suspension: Duration,
    /// How long a service port waits after a failure that another try could mend, before its
    /// policies are asked again; doubled with each such failure in a row.
    pub retry_first: Duration,
    /// The longest such wait.
    pub retry_last: Duration,
    /// How long all policies together may run in one turn of whoever asks them; what is left then is
    /// answered from what is known, and asked in a later turn.
    pub turn: Duration,
    /// The same in the first turn, which finds nothing known and isn't waited for by anything that is in force.
    pub first_turn: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 << 20,
            fuel: 50_000_000,
            fuel_per_endpoint: 100_000,
            fuel_per_host_call: 1_000,
            deadline: Duration::from_secs(2),
            memory_bytes: 16 << 20,
            table_elements: 64 << 10,
            instances: 64,
            stack_bytes: 256 << 10,
            hostcall_bytes: 1 << 20,
            answer_bytes: 64 << 10,
            answer_bytes_per_endpoint: 128,
            log_lines: 16,
            log_bytes: 8 << 10,
            counters: 32,
            groups: 16,
            cached_decisions: 65_536,
            costly_failures: 8,
            failing_namespaces: 8,
            suspension: Duration::from_secs(60),
            retry_first: Duration::from_secs(5),
            retry_last: Duration::from_secs(300),
            turn: Duration::from_secs(2),
            first_turn: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// Fuel of an evaluation with so many endpoints in view.
    #[must_use]
    pub fn fuel_for(&self, endpoints: usize) -> u64 {
        let extra = self.fuel_per_endpoint.saturating_mul(endpoints as u64);
        self.fuel.saturating_add(extra)
    }

    /// How long to wait after so many failures in a row that another try could mend.
    #[must_use]
    pub fn retry_after(&self, failures: u32) -> Duration {
        let factor = 2u32.saturating_pow(failures.saturating_sub(1));
        self.retry_first.saturating_mul(factor).min(self.retry_last)
    }

    /// Bytes of an answer with so many endpoints in view.
    #[must_use]
    pub fn answer_bytes_for(&self, endpoints: usize) -> usize {
        let extra = self.answer_bytes_per_endpoint.saturating_mul(endpoints);
        self.answer_bytes.saturating_add(extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last() {
        let limits = Limits::default();
        let seconds = [1, 2, 3, 6, 7, 40].map(|n| limits.retry_after(n).as_secs());
        assert_eq!(seconds, [5, 10, 20, 160, 300, 300]);
    }
}
