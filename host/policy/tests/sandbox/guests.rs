//! Small policies in WebAssembly text, made into real components.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The interface as policies are built against it.
const WIT: [&str; 3] = [
    include_str!("../../../../wit/v0.1/types.wit"),
    include_str!("../../../../wit/v0.1/host.wit"),
    include_str!("../../../../wit/v0.1/policy.wit"),
];

/// A policy whose `decide` runs `body`, which leaves a pointer to its answer.
///
/// `$none` points to "no opinion", `$rr` to the scheduler `rr`, `$refusal` to "not mine".
pub(crate) fn deciding(body: &str) -> Vec<u8> {
    Guest { decide: body, ..Guest::default() }.build()
}

/// A policy that answers with the scheduler `rr`.
pub(crate) fn good() -> Vec<u8> {
    deciding("global.get $rr")
}

/// What differs from guest to guest.
pub(crate) struct Guest<'a> {
    /// Body of `configure`.
    pub(crate) configure: &'a str,
    /// Body of `decide`.
    pub(crate) decide: &'a str,
    /// Body of `classify`, for a policy that has it.
    pub(crate) classify: Option<&'a str>,
    /// More of the module.
    pub(crate) more: &'a str,
    /// The interface that it is built against.
    pub(crate) wit: String,
    /// Its world.
    pub(crate) world: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            configure: "global.get $none",
            decide: "global.get $none",
            classify: None,
            more: "",
            wit: wit(),
            world: "policy",
        }
    }
}

impl Guest<'_> {
    /// The core module, without its description.
    pub(crate) fn module(&self) -> Vec<u8> {
        let Self { configure, decide, classify, more, .. } = self;
        let classify = classify.map_or_else(String::new, |body| {
            // index, name, kind, master, mtu, flags, addresses, route, pod, attributes: by pointer
            let name = "weir:policy/interface-policy@0.1.0#classify";
            format!(r#"(func (export "{name}") (param i32) (result i32) {body})"#)
        });
        let text = format!(
            r#"(module
            (import "weir:policy/host@0.1.0" "log" (func $log (param i32 i32 i32)))
            (import "weir:policy/host@0.1.0" "count" (func $count (param i32 i32 i64)))
            (memory (export "memory") 4)
            (global $next (mut i32) (i32.const 65536))
            (global $none i32 (i32.const 0))
            (global $rr i32 (i32.const 256))
            (global $refusal i32 (i32.const 512))
            ;; result 0 = decision, and its second field, at 16, is some string
            (data (i32.const 272) "\01\00\00\00\00\04\00\00\02\00\00\00")
            (data (i32.const 1024) "rr, said a policy")
            (data (i32.const 512) "\01\00\00\00\00\00\00\00")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
              (local $at i32)
              (local.set $at (i32.and
                (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
              (global.set $next (i32.add (local.get $at) (local.get 3)))
              (local.get $at))
            (func (export "weir:policy/lifecycle@0.1.0#configure") (param i32) (result i32)
              {configure})
            (func (export "weir:policy/service-policy@0.1.0#decide") (param i32) (result i32)
              {decide})
            {classify}
            {more})"#
        );
        wat::parse_str(text).unwrap()
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        component(self.module(), &self.wit, self.world)
    }
}

/// The interface in one text.
pub(crate) fn wit() -> String {
    let package = "package weir:policy@0.1.0;";
    let bodies = WIT.map(|file| file.replace(package, ""));
    format!("{package}\n{}", bodies.join("\n"))
}

/// A component of a module that has what the world of `wit` says.
pub(crate) fn component(mut module: Vec<u8>, wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).unwrap().encode().unwrap()
}
