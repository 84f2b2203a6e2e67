//! Version 0.1 of the interface: `wit/v0.1`.

mod host;
mod lift;
mod lower;

use bumpalo::Bump;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};
use weir_core::view::{Attributes, Interface, Node, ServiceView};
use weir_core::wish::{Refusal, Wish};

use self::bindings::exports::weir::policy as exports;
use self::lower::Lower;
use super::{Setup, wrong_world};
use crate::meter::Meter;
use crate::{LoadError, Wants};

pub(crate) use host::{HOST, add_host};

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated from wit/v0.1"
)]
mod bindings {
    wasmtime::component::bindgen!({
        world: "policy-with-interfaces",
        path: "../../wit/v0.1",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(crate) const VERSION: &str = "0.1";
pub(crate) const SERVICE_POLICY: &str = "weir:policy/service-policy@0.1.0";
const LIFECYCLE: &str = "weir:policy/lifecycle@0.1.0";
const INTERFACE_POLICY: &str = "weir:policy/interface-policy@0.1.0";

/// Where a component's exports are.
pub(crate) struct Exports {
    lifecycle: exports::lifecycle::GuestIndices,
    service: exports::service_policy::GuestIndices,
    interface: Option<exports::interface_policy::GuestIndices>,
}

impl Exports {
    pub(super) fn find(pre: &InstancePre<Meter>, names: &[String]) -> Result<Self, LoadError> {
        let has = |name: &str| names.iter().any(|n| n == name);
        if !has(LIFECYCLE) {
            return Err(wrong_world(LIFECYCLE, names));
        }
        let wrong = |e: wasmtime::Error| LoadError::WrongType(e.to_string());
        let interface = has(INTERFACE_POLICY)
            .then(|| exports::interface_policy::GuestIndices::new(pre))
            .transpose();
        Ok(Self {
            lifecycle: exports::lifecycle::GuestIndices::new(pre).map_err(wrong)?,
            service: exports::service_policy::GuestIndices::new(pre).map_err(wrong)?,
            interface: interface.map_err(wrong)?,
        })
    }

    pub(super) fn classifies(&self) -> bool {
        self.interface.is_some()
    }

    pub(super) fn check_types(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        self.lifecycle.load(&mut *store, instance)?;
        self.service.load(&mut *store, instance)?;
        if let Some(interface) = &self.interface {
            interface.load(&mut *store, instance)?;
        }
        Ok(())
    }

    pub(super) fn configure(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
        config: &Attributes,
        node: &Node,
    ) -> wasmtime::Result<Result<Setup, String>> {
        let arena = Bump::new();
        let lower = Lower::new(&arena, Wants::default());
        let lifecycle = self.lifecycle.load(&mut *store, instance)?;
        let answer = lifecycle.call_configure(store, lower.attributes(config), lower.node(node))?;
        Ok(answer.map(|setup| Setup { wants: setup.wants }))
    }

    pub(super) fn decide(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
        view: &ServiceView,
        wants: Wants,
    ) -> wasmtime::Result<Result<Wish, Refusal>> {
        let arena = Bump::new();
        let service = self.service.load(&mut *store, instance)?;
        let view = Lower::new(&arena, wants).view(view);
        let answer = service.call_decide(store, view)?;
        Ok(answer.map(lift::wish).map_err(lift::refusal))
    }

    pub(super) fn classify(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
        interface: &Interface,
    ) -> wasmtime::Result<Vec<String>> {
        let Some(indices) = &self.interface else { return Ok(Vec::new()) };
        let arena = Bump::new();
        let guest = indices.load(&mut *store, instance)?;
        guest.call_classify(store, Lower::new(&arena, Wants::default()).interface(interface))
    }
}
