//! Any bytes as a configuration file: no panic, and what is taken reads back to the same.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weir::config::{Overrides, parse, to_yaml};

fuzz_target!(|text: &str| {
    let flags = Overrides::default();
    if let Ok((config, _)) = parse(Path::new("/etc/weir/weir.yaml"), text, &flags) {
        let written = to_yaml(&config).expect("a configuration that was read can be written");
        let again = parse(Path::new("/etc/weir/weir.yaml"), &written, &flags);
        assert_eq!(again, Ok((config, vec![])), "{written}");
    }
});
