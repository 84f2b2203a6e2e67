//! Port numbers and protocols as Kubernetes writes them. Pure.

use weir_core::net::{Port, Protocol};

/// A port number that must be there.
pub(super) fn port(number: i32) -> Result<Port, String> {
    let port = u16::try_from(number).ok().and_then(Port::new);
    port.ok_or_else(|| format!("{number} is not a port (1 to 65535)"))
}

/// The protocol; TCP where none is given.
pub(super) fn protocol(given: Option<&str>) -> Result<Protocol, String> {
    match given {
        None | Some("") => Ok(Protocol::Tcp),
        Some(text) => text.parse().map_err(|e: weir_core::net::UnknownProtocol| e.to_string()),
    }
}
