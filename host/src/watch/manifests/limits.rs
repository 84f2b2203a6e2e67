//! What reading manifests may cost. Pure.

/// What a file may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest file that is read, in bytes.
    pub file_bytes: u64,
    /// The most values (scalars, lists, mappings) that all documents of a file may hold together.
    pub values: usize,
    /// The most values that YAML aliases may add to one document.
    pub alias_values: usize,
    /// How deep lists and mappings may nest.
    pub depth: usize,
}

impl Default for Limits {
    /// 64 MiB, 8 million values, 100,000 out of aliases, 48 deep.
    fn default() -> Self {
        Self { file_bytes: 64 << 20, values: 8_000_000, alias_values: 100_000, depth: 48 }
    }
}
