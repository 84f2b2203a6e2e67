//! The one engine that all policies run in: its settings, its clock, and compiled code.
//!
//! Not pure: compiles, reads and writes the private code directory.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, Store, WasmFeatures};

use crate::abi;
use crate::digest::Digest;
use crate::failure::one_line;
use crate::inspect::inspect;
use crate::meter::Meter;
use crate::precompiled::{self, Precompiled};
use crate::ticker::{Running, TICK, Ticker};
use crate::{Limits, LoadError};

/// How the sandbox is set up.
#[derive(Clone, Debug, Default)]
pub struct SandboxConfig {
    /// What policies may use.
    pub limits: Limits,
    /// Where machine code is kept between runs: a directory that only this user can enter. `None`
    /// compiles at every start.
    pub code_dir: Option<PathBuf>,
}

/// Compiles and runs policies. One for the whole daemon.
pub struct Sandbox {
    settings: Config,
    engine: Engine,
    linker: Linker<Meter>,
    limits: Mutex<Arc<Limits>>,
    ticker: Ticker,
    precompiled: Option<Precompiled>,
    warning: Option<String>,
}

/// The sandbox can't be set up: nothing that a policy could cause.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime refuses the settings on this machine.
    #[error("set up WebAssembly: {0}")]
    Engine(String),
    /// No thread for the clock.
    #[error("start the clock of the sandbox")]
    Clock(#[source] io::Error),
}

/// A component that was compiled and linked.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Meter>,
    pub(crate) digest: Digest,
    /// Imports from WASI, which trap when they are called.
    pub(crate) wasi: Vec<String>,
}

impl Sandbox {
    /// Sets up the engine.
    ///
    /// A code directory that can't be used is no error: see [`Sandbox::warning`].
    ///
    /// # Errors
    /// When this machine can't run WebAssembly at all.
    pub fn new(config: SandboxConfig) -> Result<Arc<Self>, SandboxError> {
        let SandboxConfig { limits, code_dir } = config;
        let failed = |e: wasmtime::Error| SandboxError::Engine(e.to_string());
        let settings = settings(&limits);
        let engine = Engine::new(&settings).map_err(failed)?;
        let linker = abi::linker(&engine).map_err(failed)?;
        let ticker = Ticker::start(&engine).map_err(SandboxError::Clock)?;
        let (precompiled, warning) = match code_dir.map(|dir| Precompiled::open(&dir, &engine)) {
            None => (None, None),
            Some(Ok(precompiled)) => (Some(precompiled), None),
            Some(Err(e)) => (None, Some(unusable(&e))),
        };
        let limits = Mutex::new(Arc::new(limits));
        Ok(Arc::new(Self { settings, engine, linker, limits, ticker, precompiled, warning }))
    }

    /// Why machine code is kept in memory only, if it is.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// What policies may use now.
    #[must_use]
    pub fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on policies may use this much. The stack's size stays as it was: it is the engine's own, and
    /// so is how many answers the policies that are there remember.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    /// Compiles a component, or takes the code of an earlier run, and links it.
    ///
    /// # Errors
    /// For every file that is no policy, by kind.
    pub(crate) fn load(&self, bytes: &[u8]) -> Result<Code, LoadError> {
        let digest = Digest::of(bytes);
        let component = self.component(bytes, &digest)?;
        abi::check_version(&component)?;
        let (wasi, unknown): (Vec<_>, Vec<_>) = abi::import_names(&component)
            .into_iter()
            .filter(|name| !abi::offers(name))
            .partition(|name| name.starts_with("wasi:"));
        if !unknown.is_empty() {
            return Err(LoadError::UnknownImport(unknown.join(", ")));
        }
        let mut linker = self.linker.clone();
        let wrong = |e: wasmtime::Error| LoadError::WrongType(one_line(e.as_ref()));
        if !wasi.is_empty() {
            linker.define_unknown_imports_as_traps(&component).map_err(wrong)?;
        }
        let pre = linker.instantiate_pre(&component).map_err(wrong)?;
        Ok(Code { pre, digest, wasi })
    }

    fn component(&self, bytes: &[u8], digest: &Digest) -> Result<Component, LoadError> {
        let kept = self.precompiled.as_ref().and_then(|kept| kept.load(&self.engine, digest));
        if let Some(component) = kept {
            return Ok(component);
        }
        inspect(bytes, &self.limits())?;
        let wrong = |e: wasmtime::Error| LoadError::Compile(one_line(e.as_ref()));
        // An engine keeps what its compiler once needed: this one goes with it.
        let compiler = Engine::new(&self.settings).map_err(wrong)?;
        let code = compiler.precompile_component(bytes).map_err(wrong)?;
        drop(compiler);
        let component = precompiled::own(&self.engine, &code).map_err(wrong)?;
        if let Some(precompiled) = &self.precompiled
            && let Err(error) = precompiled.store(digest, &code)
        {
            tracing::warn!(%error, "compiled policy not kept");
        }
        Ok(component)
    }

    /// Removes the machine code of all but these components.
    pub(crate) fn keep_only<'a>(&self, digests: impl Iterator<Item = &'a Digest>) {
        if let Some(precompiled) = &self.precompiled {
            precompiled.keep_only(digests);
        }
    }

    /// A store for one evaluation with all limits set.
    pub(crate) fn store(&self, fuel: u64) -> wasmtime::Result<Store<Meter>> {
        let limits = self.limits();
        let mut store = Store::new(&self.engine, Meter::new(&limits));
        store.limiter(|meter| meter);
        store.set_fuel(fuel)?;
        let ticks = limits.deadline.as_millis().div_ceil(TICK.as_millis());
        store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX).max(1));
        store.set_hostcall_fuel(limits.hostcall_bytes);
        Ok(store)
    }

    /// Keeps the clock of the deadline ticking until the result is dropped.
    pub(crate) fn run(&self) -> Running<'_> {
        self.ticker.run()
    }
}

/// The same proposals as in `inspect`, in the words of wasmtime's own parser.
const REFUSED: WasmFeatures = WasmFeatures::THREADS
    .union(WasmFeatures::SHARED_EVERYTHING_THREADS)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::LEGACY_EXCEPTIONS)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::STACK_SWITCHING);

fn settings(limits: &Limits) -> Config {
    let mut config = Config::new();
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(limits.stack_bytes);
    config.wasm_features(REFUSED, false);
    // The same decision on every processor.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config
}

fn unusable(error: &precompiled::Unusable) -> String {
    format!("{}; policies are compiled at every start", one_line(error))
}
