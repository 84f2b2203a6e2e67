//! What may change in the interface without breaking policies built before or after.

use weir_policy_host::{Limits, LoadError, build::check_bytes};

use crate::guests::{Guest, good, wit};

fn load(component: &[u8]) -> Result<(), LoadError> {
    let checked = check_bytes(component, &Limits::default())?;
    checked.configure(Default::default(), Default::default()).map(drop)
}

/// A guest built against a changed interface, with a module that lacks nothing for it.
fn built_against(change: &[(&str, &str)], more: &str) -> Vec<u8> {
    let mut changed = wit();
    for (from, to) in change {
        assert!(changed.contains(from), "{from}");
        changed = changed.replacen(from, to, 1);
    }
    Guest { wit: changed, more, ..Guest::default() }.build()
}

const COUNT: &str = "count: func(name: string, by: u64);";

#[test]
fn a_function_added_to_the_host_leaves_old_policies_alone() {
    // Seen from a host that had neither function, this host has grown.
    let old = wit().replace(COUNT, "");
    let component = crate::guests::component(without_count(), &old, "policy");
    load(&component).unwrap();
}

/// A policy that calls nothing of the host.
fn without_count() -> Vec<u8> {
    wat::parse_str(
        r#"(module
        (import "weir:policy/host@0.1.0" "log" (func (param i32 i32 i32)))
        (memory (export "memory") 4)
        (global $next (mut i32) (i32.const 65536))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
          (global.set $next (i32.add (global.get $next) (i32.const 4096))) (global.get $next))
        (func (export "weir:policy/lifecycle@0.1.0#configure") (param i32) (result i32) i32.const 0)
        (func (export "weir:policy/service-policy@0.1.0#decide") (param i32) (result i32) i32.const 0))"#,
    )
    .unwrap()
}

#[test]
fn a_policy_that_calls_what_this_host_lacks_is_refused_with_its_name() {
    let more = r#"(import "weir:policy/host@0.1.0" "clock" (func (result i64)))"#;
    let changed = wit().replace(COUNT, &format!("{COUNT} clock: func() -> u64;"));
    let module = wat::parse_str(format!(
        r#"(module {more}
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
        (func (export "weir:policy/lifecycle@0.1.0#configure") (param i32) (result i32) i32.const 0)
        (func (export "weir:policy/service-policy@0.1.0#decide") (param i32) (result i32) i32.const 0))"#
    ))
    .unwrap();
    let error = load(&crate::guests::component(module, &changed, "policy")).unwrap_err();
    assert_eq!(error.kind(), "wrong-type");
    assert!(error.to_string().contains("clock"), "{error}");
}

#[test]
fn changed_types_are_refused() {
    let cases = [
        ("a field", &[("cpus: u32,", "cpus: u32, memory: u64,")][..]),
        ("a case", &[("not-mine,", "not-mine, not-yet,")]),
        ("a type", &[("mtu: u32,", "mtu: u64,"), ("number: u16,", "number: u32,")]),
    ];
    for (name, change) in cases {
        let error = load(&built_against(change, "")).unwrap_err();
        assert_eq!(error.kind(), "wrong-type", "{name}: {error}");
    }
    load(&good()).unwrap();
}

#[test]
fn a_function_more_among_the_exports_is_not_looked_at() {
    let more =
        r#"(func (export "weir:policy/service-policy@0.1.0#explain") (result i32) i32.const 0)"#;
    let decide = "decide: func(view: service-view)";
    let change = [(decide, &*format!("explain: func() -> u32; {decide}"))];
    load(&built_against(&change, more)).unwrap();
}

#[test]
fn wasi_imports_load_and_trap_when_called() {
    let changed = format!(
        "{}\npackage wasi:clocks@0.2.0 {{ interface wall {{ now: func() -> u64; }} }}",
        wit().replace("  import host;", "  import host;\n  import wasi:clocks/wall@0.2.0;")
    );
    let import = r#"(import "wasi:clocks/wall@0.2.0" "now" (func $now (result i64)))"#;
    let guest = |decide: &str| {
        let module = wat::parse_str(format!(
            r#"(module {import}
            (memory (export "memory") 4)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
            (func (export "weir:policy/lifecycle@0.1.0#configure") (param i32) (result i32) i32.const 0)
            (func (export "weir:policy/service-policy@0.1.0#decide") (param i32) (result i32)
              {decide} i32.const 0))"#
        ));
        crate::guests::component(module.unwrap(), &changed, "policy")
    };
    let unused =
        check_bytes(&guest("(if (i32.const 0) (then (drop (call $now))))"), &Limits::default());
    let unused = unused.unwrap();
    assert_eq!(unused.wasi, ["wasi:clocks/wall@0.2.0"]);
    assert!(unused.to_string().contains("wasm32-unknown-unknown"), "says how to be rid of it");
    let configured = unused.configure(Default::default(), Default::default()).unwrap();
    assert!(configured.decide(&crate::stage::view(1)).answer.is_ok());

    let used = check_bytes(&guest("(drop (call $now))"), &Limits::default()).unwrap();
    let configured = used.configure(Default::default(), Default::default()).unwrap();
    let failure = configured.decide(&crate::stage::view(1)).answer.unwrap_err();
    assert_eq!(failure.kind.kind(), "trap");
    assert!(failure.message.contains("now"), "{failure}");
}

#[test]
fn imports_beyond_wasi_are_refused_by_name() {
    let component = wat::parse_str(
        r#"(component
        (import "acme:net/sockets@1.0.0" (instance (export "open" (func))))
        (instance $empty)
        (export "weir:policy/service-policy@0.1.0" (instance $empty)))"#,
    );
    let error = load(&component.unwrap()).unwrap_err();
    assert_eq!(error.kind(), "unknown-import");
    assert!(error.to_string().contains("acme:net/sockets"), "{error}");
}
