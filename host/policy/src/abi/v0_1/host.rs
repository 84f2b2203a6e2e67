//! What a policy of version 0.1 can call: `log` and `count`.
//!
//! Written by hand where bindings could be generated: this way the text is looked at in the
//! guest's memory and only what fits the log is copied.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use crate::meter::{Level, Meter};

/// Name of the imported interface.
pub(crate) const HOST: &str = "weir:policy/host@0.1.0";

/// Bytes of a log line that are looked at; the meter may keep fewer.
const MAX_LINE: usize = 4096;
/// One byte more than a counter's name may have, so that longer ones are seen to be.
const MAX_NAME: usize = 65;

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by `Lift` from the guest's number")]
enum WireLevel {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<WireLevel> for Level {
    fn from(level: WireLevel) -> Self {
        match level {
            WireLevel::Debug => Self::Debug,
            WireLevel::Info => Self::Info,
            WireLevel::Warn => Self::Warn,
            WireLevel::Error => Self::Error,
        }
    }
}

/// Offers `host` to components.
///
/// # Errors
/// When memory runs out.
pub(crate) fn add_host(linker: &mut Linker<Meter>) -> wasmtime::Result<()> {
    let mut host = linker.instance(HOST)?;
    host.func_wrap("log", |mut store: StoreContextMut<'_, Meter>, args: (WireLevel, WasmStr)| {
        let (level, line) = args;
        let line = read(&mut store, &line, MAX_LINE)?;
        store.data_mut().log(level.into(), &line);
        Ok(())
    })?;
    host.func_wrap("count", |mut store: StoreContextMut<'_, Meter>, args: (WasmStr, u64)| {
        let (name, by) = args;
        let name = read(&mut store, &name, MAX_NAME)?;
        store.data_mut().count(&name, by);
        Ok(())
    })
}

/// Copies the start of a guest's string, and takes the fuel of the call: the guest's own
/// instructions don't count what the host does for it.
fn read(
    store: &mut StoreContextMut<'_, Meter>,
    text: &WasmStr,
    max: usize,
) -> wasmtime::Result<String> {
    let text = text.to_str(&*store)?;
    // Checking UTF-8 takes about a nanosecond, as an instruction does, for 8 bytes.
    let price = store.data().fuel_per_host_call() + text.len() as u64 / 8;
    let text = text[..text.floor_char_boundary(max)].to_owned();
    match store.get_fuel()?.checked_sub(price) {
        Some(left) => store.set_fuel(left)?,
        None => return Err(wasmtime::Trap::OutOfFuel.into()),
    }
    Ok(text)
}
