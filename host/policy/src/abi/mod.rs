//! Translates between weir's types and a version of the policy interface: one module a version,
//! picked by what a component exports.
//!
//! WIT words end here.

pub(crate) mod v0_1;

use wasmtime::component::{Component, Instance, InstancePre, Linker, types::ComponentItem};
use wasmtime::{Engine, Store};
use weir_core::view::{Attributes, Interface, Node, ServiceView};
use weir_core::wish::{Refusal, Wish};

use crate::meter::Meter;
use crate::{LoadError, Wants};

/// What every policy of any version exports, up to the version.
const DECIDES: &str = "weir:policy/service-policy@";

/// Where a component's exports are, by version of the interface.
pub(crate) enum Exports {
    V0_1(v0_1::Exports),
}

/// What `configure` asked for, as words of the interface.
pub(crate) struct Setup {
    pub(crate) wants: Vec<String>,
}

/// A linker that offers the host interface of every version and nothing else.
///
/// # Errors
/// When memory runs out.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Meter>> {
    let mut linker = Linker::new(engine);
    v0_1::add_host(&mut linker)?;
    Ok(linker)
}

/// Names of what a component exports, in its order.
pub(crate) fn export_names(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    ty.exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Names of what a component imports and has to be given: interfaces of types only are none.
pub(crate) fn import_names(component: &Component) -> Vec<String> {
    let (ty, engine) = (component.component_type(), component.engine());
    let needed = ty.imports(engine).filter(|(_, item)| match &item.ty {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => true,
    });
    needed.map(|(name, _)| name.to_owned()).collect()
}

/// Whether a component is a policy of a version that is known here.
///
/// # Errors
/// [`LoadError::WrongWorld`] or [`LoadError::UnknownVersion`].
pub(crate) fn check_version(component: &Component) -> Result<(), LoadError> {
    let names = export_names(component);
    if names.iter().any(|name| name == v0_1::SERVICE_POLICY) {
        return Ok(());
    }
    match names.iter().find(|name| name.starts_with(DECIDES)) {
        Some(found) => {
            let (found, known) = (found.clone(), v0_1::SERVICE_POLICY.to_owned());
            Err(LoadError::UnknownVersion { found, known })
        }
        None => Err(wrong_world(v0_1::SERVICE_POLICY, &names)),
    }
}

/// Whether the sandbox has this import.
pub(crate) fn offers(import: &str) -> bool {
    import == v0_1::HOST
}

impl Exports {
    /// Finds the exports of the newest version that both sides know.
    ///
    /// # Errors
    /// [`LoadError::WrongWorld`].
    pub(crate) fn find(pre: &InstancePre<Meter>) -> Result<Self, LoadError> {
        v0_1::Exports::find(pre, &export_names(pre.component())).map(Self::V0_1)
    }

    /// The version, as `0.1`.
    pub(crate) fn version(&self) -> &'static str {
        match self {
            Self::V0_1(_) => v0_1::VERSION,
        }
    }

    /// Whether it exports `interface-policy`.
    pub(crate) fn classifies(&self) -> bool {
        match self {
            Self::V0_1(exports) => exports.classifies(),
        }
    }

    /// Whether the exports of an instance have the types of the interface.
    pub(crate) fn check_types(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        match self {
            Self::V0_1(exports) => exports.check_types(store, instance),
        }
    }

    /// Calls `lifecycle.configure`.
    pub(crate) fn configure(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
        config: &Attributes,
        node: &Node,
    ) -> wasmtime::Result<Result<Setup, String>> {
        match self {
            Self::V0_1(exports) => exports.configure(store, instance, config, node),
        }
    }

    /// Calls `service-policy.decide`, without the changing inputs that the policy didn't want.
    pub(crate) fn decide(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
        view: &ServiceView,
        wants: Wants,
    ) -> wasmtime::Result<Result<Wish, Refusal>> {
        match self {
            Self::V0_1(exports) => exports.decide(store, instance, view, wants),
        }
    }

    /// Calls `interface-policy.classify`, if it is there.
    pub(crate) fn classify(
        &self,
        store: &mut Store<Meter>,
        instance: &Instance,
        interface: &Interface,
    ) -> wasmtime::Result<Vec<String>> {
        match self {
            Self::V0_1(exports) => exports.classify(store, instance, interface),
        }
    }
}

fn wrong_world(missing: &str, names: &[String]) -> LoadError {
    let exports = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    LoadError::WrongWorld { missing: missing.to_owned(), exports }
}
