//! A guest test script and the header that says how it is to be run. Pure but for [`Script::read`].

use std::{fs, path::Path, path::PathBuf, time::Duration};

use crate::{
    error::{Error, OnPath, Result},
    series::Series,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Something built on this machine that a script uses in the guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The binary of the package of this name, at /weir/bin/NAME.
    Binary(String),
    /// target/policies/*.wasm, at /weir/policies.
    Policies,
    /// `test:PACKAGE:NAME`, an integration test's binary, at /weir/bin/PACKAGE-NAME.
    Test(String, String),
    /// `example:PACKAGE:NAME`, at /weir/bin/PACKAGE-NAME.
    Example(String, String),
}

/// A script with its header read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its file name without `.sh`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// `kernel:` and `also:`, the series it always runs on (default: 6.12).
    pub kernels: Vec<Series>,
    /// `also-full:`, those it runs on besides in a full run.
    pub full_kernels: Vec<Series>,
    /// `when: full`: left out of an ordinary run.
    pub full_only: bool,
    /// `timeout:` in seconds of the script alone (default: 60).
    pub timeout: Duration,
    /// `needs:`.
    pub needs: Vec<Need>,
    /// `files:`, paths in the repository, found below /weir/files in the guest.
    pub files: Vec<PathBuf>,
    /// `modules:`, loaded before it; scripts with different ones never share a boot.
    pub modules: Vec<String>,
    /// `boot: own`: shares its guest with no other script.
    pub own_boot: bool,
    /// `memory:`, as QEMU writes it; such a script has a guest of its own.
    pub memory: Option<String>,
    /// `icount:`: the guest's clock counts instructions; such a script has a guest of its own.
    pub icount: Option<u8>,
}

impl Script {
    /// Reads the script at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).on("read", path)?;
        Self::parse(path, &text)
    }

    /// The series to run on: in an ordinary run, in a full one.
    #[must_use]
    pub fn series(&self, full: bool) -> Vec<Series> {
        if self.full_only && !full {
            return Vec::new();
        }
        let more = if full { self.full_kernels.as_slice() } else { &[] };
        let mut series: Vec<Series> = self.kernels.iter().chain(more).copied().collect();
        series.sort();
        series.dedup();
        series
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let mut script = Self {
            name: name.unwrap_or_default(),
            path: path.to_owned(),
            kernels: Vec::new(),
            full_kernels: Vec::new(),
            full_only: false,
            timeout: DEFAULT_TIMEOUT,
            needs: Vec::new(),
            files: Vec::new(),
            modules: Vec::new(),
            own_boot: false,
            memory: None,
            icount: None,
        };
        for (key, value) in text.lines().take_while(|line| line.starts_with('#')).filter_map(header)
        {
            script
                .set(key, value)
                .map_err(|error| Error::Input(format!("{}: {key}: {error}", path.display())))?;
        }
        if script.kernels.is_empty() {
            script.kernels.push(Series::DEFAULT);
        }
        Ok(script)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let words = || value.split_whitespace();
        let only = |word: &str| if value == word { Ok(true) } else { Err(bad(value)) };
        match key {
            "kernel" | "also" => self.kernels.extend(all_series(value)?),
            "also-full" => self.full_kernels.extend(all_series(value)?),
            "when" => self.full_only = only("full")?,
            "boot" => self.own_boot = only("own")?,
            "timeout" => self.timeout = Duration::from_secs(value.parse().map_err(|_| bad(value))?),
            "needs" => self.needs.extend(words().map(need).collect::<Result<Vec<_>>>()?),
            "files" => self.files.extend(words().map(PathBuf::from)),
            "modules" => self.modules.extend(words().map(str::to_owned)),
            "memory" => self.memory = Some(value.to_owned()),
            "icount" => self.icount = Some(value.parse().map_err(|_| bad(value))?),
            _ => return Err(Error::Input("no such header (prose begins with a capital)".into())),
        }
        Ok(())
    }
}

/// `# key: value` with a key of small letters; anything else is prose.
fn header(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("# ")?.split_once(": ")?;
    let small = |c: char| c.is_ascii_lowercase() || c == '-';
    (!key.is_empty() && key.chars().all(small)).then(|| (key, value.trim()))
}

fn all_series(value: &str) -> Result<Vec<Series>> {
    value.split_whitespace().map(str::parse).collect()
}

fn need(word: &str) -> Result<Need> {
    let parts: Vec<&str> = word.split(':').collect();
    match parts.as_slice() {
        ["policies"] => Ok(Need::Policies),
        [package] => Ok(Need::Binary((*package).to_owned())),
        ["test", package, name] => Ok(Need::Test((*package).to_owned(), (*name).to_owned())),
        ["example", package, name] => Ok(Need::Example((*package).to_owned(), (*name).to_owned())),
        _ => Err(bad(word)),
    }
}

fn bad(value: &str) -> Error {
    Error::Input(format!("{value:?} isn't understood"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Script> {
        Script::parse(Path::new("tests/guest/drain.sh"), text)
    }

    #[test]
    fn every_header_is_read_and_prose_is_not() {
        let script = parse(
            "#!/bin/bash\n# Drains: a server.\n# kernel: 6.12\n# also: 6.1\n# also-full: 7\n# timeout: 90\n\
             # needs: weir policies test:ipvs-rs:guest example:ipvs-rs:list\n# files: host/a\n# boot: own\n\
             # modules: sctp\n# memory: 4G\n# icount: 0\n\n# kernel: 7\n",
        )
        .unwrap();
        assert_eq!(script.name, "drain");
        assert_eq!(script.series(false), [Series::V6_1, Series::V6_12]);
        assert_eq!(script.series(true), Series::ALL);
        assert_eq!(script.timeout, Duration::from_secs(90));
        let test = Need::Test("ipvs-rs".into(), "guest".into());
        let example = Need::Example("ipvs-rs".into(), "list".into());
        assert_eq!(script.needs, [Need::Binary("weir".into()), Need::Policies, test, example]);
        assert_eq!(script.files, [PathBuf::from("host/a")]);
        assert!(script.own_boot && script.modules == ["sctp"] && script.icount == Some(0));
    }

    #[test]
    fn without_headers_it_runs_on_the_default_kernel_and_in_every_run() {
        let script = parse("#!/bin/bash\ntrue\n").unwrap();
        assert_eq!(script.series(false), [Series::DEFAULT]);
        assert_eq!(parse("# when: full\n").unwrap().series(false), []);
    }

    #[test]
    fn a_misspelt_header_is_an_error_that_names_file_and_key() {
        for line in
            ["# kernal: 7", "# kernel: 5", "# boot: mine", "# timeout: soon", "# needs: a:b"]
        {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains("drain.sh"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_without_a_panic(text in "(?s)(# [a-z]{0,8}: .{0,20}\n){0,4}.{0,40}") {
            let _ = parse(&text);
        }
    }
}
