//! Any bytes where the kernel's messages belong: `cargo +nightly fuzz run datagram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir_nft::fuzz::datagram(bytes));
