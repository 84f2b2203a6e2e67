//! What a component is, and what it would decide.
//!
//! Not pure: compiles and runs the component, in the sandbox that the daemon uses.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use weir_core::view::{Attributes, Interface, Node, ServiceView};
use weir_core::wish::{Refusal, Wish};

use crate::abi::{export_names, import_names};
use crate::file::read_component;
use crate::guest::{Evaluation, Guest};
use crate::meter::{Level, Said};
use crate::sandbox::Code;
use crate::text::plain;
use crate::{Digest, Failure, Limits, LoadError, Sandbox, SandboxConfig, Wants};

/// A component that can be used as a policy.
pub struct Checked {
    /// Bytes of the component.
    pub size: u64,
    /// Its SHA-256.
    pub digest: Digest,
    /// What it imports, WASI too; interfaces that only hold types are left out.
    pub imports: Vec<String>,
    /// Those of the imports that are WASI's.
    pub wasi: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    limits: Limits,
    sandbox: Arc<Sandbox>,
    code: Arc<Code>,
}

/// What a policy answers for one service port.
#[derive(Clone, Debug)]
pub struct Decided {
    /// `NAMESPACE/SERVICE:PORT`.
    pub service_port: String,
    /// Its answer.
    pub answer: Result<Result<Wish, Refusal>, Failure>,
    /// What it logged and counted.
    pub said: Said,
    /// Fuel that it used.
    pub fuel: u64,
    /// Fuel that it could have used.
    pub fuel_limit: u64,
}

/// A component with a configuration that it accepted.
pub struct Configured {
    guest: Guest,
    limits: Limits,
}

/// Reads a component, compiles it and looks at it.
///
/// # Errors
/// What is wrong with the file, by kind.
pub fn check(file: &Path, limits: &Limits) -> Result<Checked, LoadError> {
    check_bytes(&read_component(file, limits)?, limits)
}

/// As [`check`], for bytes that were read before.
///
/// # Errors
/// What is wrong with the bytes, by kind.
pub fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<Checked, LoadError> {
    crate::inspect(bytes, limits)?;
    let config = SandboxConfig { limits: limits.clone(), code_dir: None };
    let sandbox = Sandbox::new(config).map_err(|e| LoadError::Compile(e.to_string()))?;
    let code = sandbox.load(bytes)?;
    crate::abi::Exports::find(&code.pre)?;
    let component = code.pre.component();
    Ok(Checked {
        size: bytes.len() as u64,
        digest: code.digest,
        imports: import_names(component),
        wasi: code.wasi.clone(),
        exports: export_names(component),
        limits: limits.clone(),
        sandbox,
        code: Arc::new(code),
    })
}

impl Checked {
    /// Configures the policy as the daemon would.
    ///
    /// # Errors
    /// When it refuses the configuration, fails over it, or has exports of wrong types.
    pub fn configure(&self, config: Attributes, node: Node) -> Result<Configured, LoadError> {
        let code = Arc::clone(&self.code);
        let guest = Guest::new(&self.sandbox, code, config, Arc::new(node))?;
        Ok(Configured { guest, limits: self.limits.clone() })
    }
}

impl Configured {
    /// Version of the interface, as `0.1`.
    #[must_use]
    pub fn interface(&self) -> &'static str {
        self.guest.version()
    }

    /// Changing inputs that it asked for.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.guest.wants()
    }

    /// What it would decide.
    #[must_use]
    pub fn decide(&self, view: &ServiceView) -> Decided {
        let service_port = service_port(view);
        let Evaluation { outcome, said, fuel } = self.guest.decide(view);
        let answer = outcome.map_err(|failed| Failure {
            policy: service_port.as_str().into(),
            kind: failed.kind,
            message: failed.message,
            stood_in: false,
        });
        let fuel_limit = self.limits.fuel_for(view.endpoints.len());
        Decided { service_port, answer, said, fuel, fuel_limit }
    }

    /// The groups that it would put an interface in; none when it doesn't classify.
    #[must_use]
    pub fn classify(&self, interface: &Interface) -> Vec<String> {
        self.guest.classify(interface).outcome.unwrap_or_default()
    }
}

fn service_port(view: &ServiceView) -> String {
    let (namespace, service) = (&view.namespace.name, &view.service.name);
    match view.port.name.as_str() {
        "" => format!("{namespace}/{service}:{}", view.port.number),
        name => format!("{namespace}/{service}:{name}"),
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| match names {
            [] => "nothing".to_owned(),
            names => names.iter().map(|name| plain(name)).collect::<Vec<_>>().join("\n           "),
        };
        let limit = self.limits.component_bytes;
        writeln!(f, "size       {} bytes of {limit}", self.size)?;
        writeln!(f, "sha256     {}", self.digest)?;
        writeln!(f, "imports    {}", list(&self.imports))?;
        writeln!(f, "exports    {}", list(&self.exports))?;
        if self.wasi.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "note       it imports WASI, which the sandbox doesn't have: a call ends the \
             evaluation.\n           Build for wasm32-unknown-unknown to be rid of it: \
             `weir policy build`, or\n           `cargo component build --target \
             wasm32-unknown-unknown`."
        )
    }
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", plain(&self.service_port))?;
        match &self.answer {
            Ok(Ok(wish)) if wish.is_empty() => writeln!(f, "  no opinion")?,
            Ok(Ok(wish)) => show_wish(f, wish)?,
            Ok(Err(Refusal::NotMine)) => writeln!(f, "  refused: not mine")?,
            Ok(Err(Refusal::Reason(reason))) => writeln!(f, "  refused: {}", plain(reason))?,
            Err(failure) => {
                writeln!(f, "  FAILED ({}): {}", failure.kind, plain(&failure.message))?;
            }
        }
        for line in &self.said.lines {
            let level = match line.level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
                Level::Error => "error",
            };
            writeln!(f, "  {level}: {}", line.text)?;
        }
        if self.said.dropped_lines > 0 {
            writeln!(f, "  {} more lines were dropped", self.said.dropped_lines)?;
        }
        for (name, by) in &self.said.counts {
            writeln!(f, "  counted {name}: {by}")?;
        }
        let percent = self.fuel as f64 * 100.0 / self.fuel_limit as f64;
        writeln!(f, "  fuel {} ({percent:.2} % of the limit)", self.fuel)
    }
}

fn show_wish(f: &mut fmt::Formatter<'_>, wish: &Wish) -> fmt::Result {
    let mut show = |name: &str, value: Option<String>| match value {
        Some(value) => writeln!(f, "  {name}: {}", plain(&value)),
        None => Ok(()),
    };
    show("dataplane", wish.dataplane.clone())?;
    show("scheduler", wish.scheduler.clone())?;
    show("scheduler-flags", wish.scheduler_flags.as_ref().map(|flags| flags.join(", ")))?;
    let weights = wish.weights.as_ref().map(|weights| {
        let each = weights.iter().map(|w| format!("{} port {} = {}", w.address, w.port, w.weight));
        each.collect::<Vec<_>>().join(", ")
    });
    show("weights", weights)?;
    let offload = wish.offload.map(|offload| match offload {
        weir_core::wish::Offload::Never => "never".to_owned(),
        weir_core::wish::Offload::After(packets) => format!("after {packets} packets"),
    });
    show("offload", offload)?;
    let interfaces = wish.interfaces.as_ref().map(|i| {
        let left_out = i.exclude.iter().map(|pattern| format!("!{pattern}"));
        i.include.iter().cloned().chain(left_out).collect::<Vec<_>>().join(", ")
    });
    show("interfaces", interfaces)?;
    show("affinity-seconds", wish.affinity_seconds.map(|s| s.to_string()))?;
    show("re-evaluate-after-seconds", wish.re_evaluate_after_seconds.map(|s| s.to_string()))?;
    show("note", wish.note.clone())?;
    let attributes = wish.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
    show("attributes", (!attributes.is_empty()).then(|| attributes.join(", ")))
}
