//! Any bytes where the kernel's messages belong: `tests/setup/fuzz run host/nft/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weir_nft::fuzz::datagram(bytes));
