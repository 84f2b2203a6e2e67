//! Arbitrary bytes as manifests. Nothing may panic, and the directory must end where its last
//! contents say, whatever came before.
#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use weir::watch::manifests::{Batch, Content, Directory, Format, Limits, parse};

const GOOD: &[u8] = b"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n\
                      spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n";

fn write(path: &str, bytes: &[u8]) -> Batch {
    let files = vec![(PathBuf::from(path), Content::Bytes(bytes.to_vec()))];
    Batch { files, ..Batch::default() }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { values: 20_000, alias_values: 2_000, ..Limits::default() };
    for (format, path) in [(Format::Yaml, "a.yaml"), (Format::Json, "a.json")] {
        let parsed = parse(Path::new(path), format, bytes, &limits);
        for problem in &parsed.problems {
            assert!(!problem.to_string().is_empty());
        }
        let mut directory = Directory::new(limits);
        directory.apply(write(path, bytes));
        let again = directory.apply(write(path, bytes));
        assert!(again.changes.is_empty() && again.report.is_empty(), "{again:?}");
        if format == Format::Yaml {
            directory.apply(write(path, GOOD));
            assert_eq!(directory.problems().count(), 0);
        }
        let gone = Batch { gone: vec![path.into()], ..Batch::default() };
        directory.apply(gone);
        assert_eq!(directory.problems().count(), 0);
    }
});
