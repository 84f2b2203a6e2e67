//! The text of /proc/net/ip_vs: reading never panics.
#![no_main]

use ipvs_rs::ServiceTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = ServiceTable::parse(&text);
    let _ = ServiceTable::parse(&format!("IP Virtual Server version 1.2.1 (size=1)\nx\ny\n{text}"));
});
