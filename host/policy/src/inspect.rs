//! What kind of file some bytes are, said before the compiler sees them.
//!
//! Pure: bytes in, verdict out. Never panics, whatever the bytes.

use wasmparser::{Parser, Validator, WasmFeatures};

use crate::{Limits, LoadError};

/// Proposals that a policy may not use: threads would bring data races into a decision, and a
/// 64-bit memory has no use below the memory limit.
const REFUSED: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::STACK_SWITCHING);

/// Whether the bytes are a component that is valid and small enough.
///
/// # Errors
/// The [`LoadError`] that says what they are instead.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let size = bytes.len() as u64;
    if size > limits.component_bytes {
        return Err(LoadError::TooBig { size, limit: limits.component_bytes });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule);
    }
    if !Parser::is_component(bytes) {
        return Err(LoadError::NotWasm(looks_like(bytes)));
    }
    let features = WasmFeatures::default().difference(REFUSED);
    match Validator::new_with_features(features).validate_all(bytes) {
        Ok(_) => Ok(()),
        Err(e) if e.offset() >= size || e.message().contains("unexpected end") => {
            Err(LoadError::Truncated(bytes.len()))
        }
        Err(e) => Err(LoadError::Malformed(e.to_string())),
    }
}

fn looks_like(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "is empty".into();
    }
    if bytes.starts_with(b"\0asm") {
        return "starts as WebAssembly but has an unknown version".into();
    }
    if b"\0asm".starts_with(bytes) {
        return format!("ends after {} bytes", bytes.len());
    }
    let start = &bytes[..bytes.len().min(24)];
    match std::str::from_utf8(start).ok().filter(|s| !s.contains('\0')) {
        Some(text) => format!("is text that starts with {text:?}"),
        None => format!("starts with bytes {:02x?}", &start[..start.len().min(8)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_wrong_file_has_its_own_words() {
        let component = wat::parse_str("(component (core module (func)))").unwrap();
        let cut = &component[..component.len() - 3];
        let threads = wat::parse_str("(component (core module (memory 1 1 shared)))").unwrap();
        let cases: [(&str, &[u8], &str); 9] = [
            ("empty", b"", "not-wasm"),
            ("text", b"hello, this is a policy", "not-wasm"),
            ("half a magic", b"\0as", "not-wasm"),
            ("elf", b"\x7fELF\x02\x01\x01\0", "not-wasm"),
            ("version", b"\0asm\x07\0\x02\0", "not-wasm"),
            ("core", &wat::parse_str("(module)").unwrap(), "core-module"),
            ("truncated", cut, "truncated"),
            ("threads", &threads, "malformed"),
            ("junk", &[&component[..], b"\x55\x03abc"].concat(), "malformed"),
        ];
        let limits = Limits::default();
        for (name, bytes, kind) in cases {
            assert_eq!(inspect(bytes, &limits).unwrap_err().kind(), kind, "{name}");
        }
        assert!(inspect(&component, &limits).is_ok());
    }

    #[test]
    fn size_is_looked_at_first() {
        let limits = Limits { component_bytes: 7, ..Limits::default() };
        let error = inspect(b"12345678", &limits).unwrap_err();
        assert_eq!(error.to_string(), "8 bytes are too big for a policy: at most 7");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_judged(mut bytes: Vec<u8>, magic: bool) {
            if magic {
                bytes.splice(0..0, *b"\0asm\x0d\0\x01\0");
            }
            // An empty component is the one valid outcome that chance finds.
            let _ = inspect(&bytes, &Limits::default()).map_err(|e| e.to_string());
        }
    }
}
