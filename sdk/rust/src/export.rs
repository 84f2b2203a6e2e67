//! Turns a [`Policy`] into the exports of a component.

use std::cell::OnceCell;

use crate::bindings::weir::policy::types::Setup;
use crate::{Classify, Config, Decision, NetworkInterface, Node, Policy, Refusal, ServiceView};

pub use crate::bindings::exports::weir::policy::{lifecycle, service_policy};
pub use crate::bindings::interfaces::exports::weir::policy::interface_policy;
pub use crate::bindings::weir::policy::types;

/// Exports a policy from a `cdylib` crate: `export!(Mine);`, or `export!(Mine, interfaces);` when
/// it implements [`Classify`] as well. Does nothing but check the type in native builds.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        $crate::export!(@check $policy, $crate::Policy);
        $crate::export!(@policy $policy);
    };
    ($policy:ty, interfaces) => {
        $crate::export!(@check $policy, $crate::Classify);
        $crate::export!(@policy $policy, {
            impl $crate::export::interface_policy::Guest for Exported {
                fn classify(
                    interface: $crate::NetworkInterface,
                ) -> ::std::vec::Vec<::std::string::String> {
                    POLICY.with(|policy| $crate::export::classify(policy, &interface))
                }
            }
            $crate::bindings::interfaces::export_interfaces!(
                Exported with_types_in $crate::bindings::interfaces
            );
        });
    };
    (@check $policy:ty, $trait:path) => {
        const _: () = {
            const fn is<P: $trait>() {}
            is::<$policy>();
        };
    };
    (@policy $policy:ty $(, { $($more:tt)* })?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(
            unsafe_code,
            unreachable_pub,
            unused_qualifications,
            clippy::all,
            reason = "generated exports"
        )]
        const _: () = {
            struct Exported;
            ::std::thread_local! {
                static POLICY: ::std::cell::OnceCell<$policy> = const {
                    ::std::cell::OnceCell::new()
                };
            }
            impl $crate::export::lifecycle::Guest for Exported {
                fn configure(
                    config: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    node: $crate::Node,
                ) -> ::std::result::Result<$crate::export::types::Setup, ::std::string::String> {
                    POLICY.with(|policy| $crate::export::configure(policy, config, &node))
                }
            }
            impl $crate::export::service_policy::Guest for Exported {
                fn decide(
                    view: $crate::ServiceView,
                ) -> ::std::result::Result<$crate::Decision, $crate::Refusal> {
                    POLICY.with(|policy| $crate::export::decide(policy, &view))
                }
            }
            $crate::bindings::export_policy!(Exported with_types_in $crate::bindings);
            $($($more)*)?
        };
    };
}

/// What a panic of the policy ends in: a line in the daemon's log, before the trap.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| crate::error(&panic.to_string())));
}

/// Behind `lifecycle.configure`.
///
/// # Errors
/// What the policy finds wrong with its configuration.
pub fn configure<P: Policy>(
    cell: &OnceCell<P>,
    config: Vec<(String, String)>,
    node: &Node,
) -> Result<Setup, String> {
    report_panics();
    let policy = P::configure(&Config::new(config), node)?;
    let wants = policy.wants().into_iter().map(|want| want.word().to_owned()).collect();
    match cell.set(policy) {
        Ok(()) => Ok(Setup { wants, attributes: Vec::new() }),
        Err(_) => Err("configured twice".into()),
    }
}

/// Behind `service-policy.decide`.
///
/// # Errors
/// The policy's refusal.
pub fn decide<P: Policy>(cell: &OnceCell<P>, view: &ServiceView) -> Result<Decision, Refusal> {
    configured(cell).decide(view)
}

/// Behind `interface-policy.classify`.
pub fn classify<P: Classify>(cell: &OnceCell<P>, interface: &NetworkInterface) -> Vec<String> {
    configured(cell).classify(interface)
}

fn configured<P>(cell: &OnceCell<P>) -> &P {
    cell.get().expect("the host calls configure first")
}
