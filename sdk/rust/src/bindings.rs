//! The types and the glue that are generated from `wit/v0.1`.

#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

wit_bindgen::generate!({
    world: "policy",
    path: "wit/v0.1",
    pub_export_macro: true,
    export_macro_name: "export_policy",
    default_bindings_module: "weir_policy::bindings",
    additional_derives: [PartialEq, Eq],
});

/// What a policy that classifies interfaces exports besides.
pub mod interfaces {
    wit_bindgen::generate!({
        inline: "
            package weir:sdk;
            world interfaces {
                export weir:policy/interface-policy@0.1.0;
            }
        ",
        path: "wit/v0.1",
        pub_export_macro: true,
        export_macro_name: "export_interfaces",
        default_bindings_module: "weir_policy::bindings::interfaces",
        with: { "weir:policy/types@0.1.0": crate::bindings::weir::policy::types },
    });
}
