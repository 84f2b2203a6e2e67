//! Any bytes as a policy's file, and any damage to a component: judged, compiled if it is valid,
//! asked if it is a policy. Whatever it is, the host goes on.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir_core::view::{Endpoint, ServiceView};
use weir_policy_host::Limits;
use weir_policy_host::build::check_bytes;

/// Chance finds no component by itself, so half of the inputs are laid over this one.
static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let text = r#"(component
        (core module $m
          (memory (export "memory") 1)
          (func (export "decide") (result i32) i32.const 1))
        (core instance $i (instantiate $m))
        (func $decide (result u32) (canon lift (core func $i "decide")))
        (instance $policy (export "decide" (func $decide)))
        (export "weir:policy/service-policy@0.1.0" (instance $policy))
        (export "weir:policy/lifecycle@0.1.0" (instance $policy)))"#;
    wat::parse_str(text).expect("the text is valid")
});

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (laid_over, at, bytes) = input;
    if laid_over {
        let mut component = COMPONENT.clone();
        let at = usize::from(at) % component.len();
        let end = component.len().min(at + bytes.len());
        component[at..end].copy_from_slice(&bytes[..end - at]);
        judge(&component);
    } else {
        judge(bytes);
    }
});

fn judge(bytes: &[u8]) {
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    let endpoints = vec![Endpoint::ready([10, 0, 0, 1].into(), 80)];
    let view = ServiceView { endpoints, ..ServiceView::default() };
    match check_bytes(bytes, &limits) {
        Ok(checked) => {
            assert!(!checked.to_string().is_empty());
            if let Ok(policy) = checked.configure(Default::default(), Default::default()) {
                assert!(!policy.decide(&view).to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.kind().is_empty()),
    }
}
