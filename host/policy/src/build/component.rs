//! From a core module to a component. Pure.

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// A module that can't become a policy.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// Not WebAssembly.
    #[error("not a WebAssembly module")]
    NotWasm,
    /// A module without the section in which `weir_policy::export!` says what it exports.
    #[error("the module exports no policy: is there a `weir_policy::export!(…)` in the crate?")]
    NoPolicy,
    /// The encoder refused it.
    #[error("make a component: {0}")]
    Encode(String),
}

/// Start of the names of the sections that describe a module's world.
const WORLD: &str = "component-type";

/// The component of a core module that was built with the SDK, or the same bytes if they are a
/// component already.
///
/// # Errors
/// When the bytes are no module, or one without a policy, or one whose exports are not those that
/// it claims.
pub fn componentize(bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
    if Parser::is_component(bytes) {
        return Ok(bytes.to_vec());
    }
    if !Parser::is_core_wasm(bytes) {
        return Err(ComponentError::NotWasm);
    }
    if !describes_world(bytes) {
        return Err(ComponentError::NoPolicy);
    }
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(bytes).and_then(ComponentEncoder::encode);
    encoded.map_err(|e| ComponentError::Encode(format!("{e:#}")))
}

fn describes_world(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).map_while(Result::ok).any(|payload| {
        matches!(payload, Payload::CustomSection(section) if section.name().starts_with(WORLD))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_policy_module_is_told_apart() {
        let module = wat::parse_str("(module)").unwrap();
        let component = wat::parse_str("(component)").unwrap();
        assert!(matches!(componentize(b"text"), Err(ComponentError::NotWasm)));
        assert!(matches!(componentize(&module), Err(ComponentError::NoPolicy)));
        assert_eq!(componentize(&component).unwrap(), component);
        let lie = r#"(module (@custom "component-type:x" "not a world"))"#;
        let lie = wat::parse_str(lie).unwrap();
        assert!(matches!(componentize(&lie), Err(ComponentError::Encode(_))));
    }
}
