//! One policy, compiled and configured, asked in a fresh instance each time.
//!
//! Not pure: runs guest code, within the limits of the sandbox.

use std::sync::Arc;

use wasmtime::component::Instance;
use wasmtime::{Store, Trap};
use weir_core::view::{Attributes, Interface, Node, ServiceView};
use weir_core::wish::{Refusal, Wish};

use crate::abi::{Exports, Setup};
use crate::digest::Digest;
use crate::meter::{Meter, Said};
use crate::sandbox::{Code, Sandbox};
use crate::text::clip;
use crate::{FailureKind, LoadError, Wants};

/// Longest message of a policy or of wasmtime that is passed on, in bytes.
const MESSAGE: usize = 512;

/// A policy that accepted its configuration.
pub(crate) struct Guest {
    sandbox: Arc<Sandbox>,
    code: Arc<Code>,
    exports: Exports,
    config: Attributes,
    node: Arc<Node>,
    wants: Wants,
    /// Words in `wants` that this weir doesn't know.
    unknown_wants: Vec<String>,
}

/// How an evaluation ended, and what was said on the way.
pub(crate) struct Evaluation<T> {
    pub(crate) outcome: Result<T, Failed>,
    pub(crate) said: Said,
    /// Fuel used.
    pub(crate) fuel: u64,
}

/// A failure before it is known whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Guest {
    /// Checks the exports of `code` and configures it once, to know what it wants.
    ///
    /// # Errors
    /// When it isn't a policy, or refuses the configuration, or fails over it.
    pub(crate) fn new(
        sandbox: &Arc<Sandbox>,
        code: Arc<Code>,
        config: Attributes,
        node: Arc<Node>,
    ) -> Result<Self, LoadError> {
        let exports = Exports::find(&code.pre)?;
        let sandbox = Arc::clone(sandbox);
        let (wants, unknown_wants) = (Wants::default(), Vec::new());
        let mut guest = Self { sandbox, code, exports, config, node, wants, unknown_wants };
        let setup = guest.first_setup()?;
        let (wants, unknown) = Wants::from_words(&setup.wants);
        guest.unknown_wants = unknown.into_iter().take(8).map(|word| clip(word, 32)).collect();
        guest.wants = wants;
        Ok(guest)
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.code.digest
    }

    pub(crate) fn code(&self) -> &Arc<Code> {
        &self.code
    }

    pub(crate) fn config(&self) -> &Attributes {
        &self.config
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) fn version(&self) -> &'static str {
        self.exports.version()
    }

    pub(crate) fn classifies(&self) -> bool {
        self.exports.classifies()
    }

    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    pub(crate) fn unknown_wants(&self) -> &[String] {
        &self.unknown_wants
    }

    /// Asks for a decision.
    pub(crate) fn decide(&self, view: &ServiceView) -> Evaluation<Result<Wish, Refusal>> {
        let endpoints = view.endpoints.len();
        let limit = self.sandbox.limits().answer_bytes_for(endpoints);
        self.evaluate(endpoints, |store, instance| {
            self.exports.decide(store, instance, view, self.wants).map(|answer| match answer {
                Ok(wish) => fits(wish_bytes(&wish), limit).map(|()| Ok(wish)),
                Err(Refusal::Reason(reason)) => Ok(Err(Refusal::Reason(clip(&reason, MESSAGE)))),
                Err(Refusal::NotMine) => Ok(Err(Refusal::NotMine)),
            })
        })
    }

    /// Asks for the groups of an interface.
    pub(crate) fn classify(&self, interface: &Interface) -> Evaluation<Vec<String>> {
        let most = self.sandbox.limits().groups;
        self.evaluate(0, |store, instance| {
            let groups = self.exports.classify(store, instance, interface)?;
            let size = groups.len();
            Ok(fits(size, most).map(|()| groups.iter().map(|g| clip(g, 64)).collect()))
        })
    }

    /// A fresh instance, configured, then asked.
    fn evaluate<T>(
        &self,
        endpoints: usize,
        ask: impl FnOnce(&mut Store<Meter>, &Instance) -> wasmtime::Result<Result<T, Failed>>,
    ) -> Evaluation<T> {
        self.session(endpoints, |store, instance| {
            match self.exports.configure(store, instance, &self.config, &self.node)? {
                Ok(_) => ask(store, instance),
                Err(words) => Ok(Err(failed(FailureKind::Configure, &words))),
            }
        })
    }

    fn first_setup(&self) -> Result<Setup, LoadError> {
        let evaluation = self.session(0, |store, instance| {
            if let Err(e) = self.exports.check_types(store, instance) {
                return Ok(Ok(Err(LoadError::WrongType(root(&e)))));
            }
            let answer = self.exports.configure(store, instance, &self.config, &self.node)?;
            let refused = |words: String| LoadError::Configuration(clip(&words, MESSAGE));
            Ok(Ok(answer.map_err(refused)))
        });
        let failed = |Failed { kind, message }| LoadError::Configure { kind, message };
        evaluation.outcome.map_err(failed)?
    }

    fn session<T>(
        &self,
        endpoints: usize,
        work: impl FnOnce(&mut Store<Meter>, &Instance) -> wasmtime::Result<Result<T, Failed>>,
    ) -> Evaluation<T> {
        let given = self.sandbox.limits().fuel_for(endpoints);
        let mut store = match self.sandbox.store(given) {
            Ok(store) => store,
            Err(e) => {
                let outcome = Err(failed(FailureKind::Instantiate, &root(&e)));
                return Evaluation { outcome, said: Said::default(), fuel: 0 };
            }
        };
        let running = self.sandbox.run();
        let result = match self.code.pre.instantiate(&mut store) {
            Ok(instance) => work(&mut store, &instance).map_err(|e| diagnose(&e, store.data())),
            Err(e) => Err(diagnose_start(&e, store.data())),
        };
        drop(running);
        let fuel = given.saturating_sub(store.get_fuel().unwrap_or(0));
        let outcome = result.unwrap_or_else(Err);
        Evaluation { outcome, said: store.into_data().into_said(), fuel }
    }
}

/// What a failed call died of.
fn diagnose(error: &wasmtime::Error, meter: &Meter) -> Failed {
    let trap = error.downcast_ref::<Trap>();
    let kind = match trap {
        Some(Trap::OutOfFuel) => FailureKind::Fuel,
        Some(Trap::Interrupt) => FailureKind::Deadline,
        Some(Trap::StackOverflow) => FailureKind::Stack,
        // A refused allocation ends in whatever the guest's language makes of it.
        _ if meter.memory_refused() => FailureKind::Memory,
        // wasmtime keeps the type of this error to itself.
        None if root(error).contains("fuel allocated for hostcalls") => FailureKind::TooBig,
        _ => FailureKind::Trap,
    };
    failed(kind, &root(error))
}

/// What a failed instantiation died of: its own code, or something it asked for.
fn diagnose_start(error: &wasmtime::Error, meter: &Meter) -> Failed {
    let seen = diagnose(error, meter);
    let is_trap = error.downcast_ref::<Trap>().is_some();
    match seen.kind {
        FailureKind::Trap if !is_trap => Failed { kind: FailureKind::Instantiate, ..seen },
        _ => seen,
    }
}

fn root(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

fn failed(kind: FailureKind, message: &str) -> Failed {
    Failed { kind, message: clip(message, MESSAGE) }
}

fn fits(size: usize, limit: usize) -> Result<(), Failed> {
    if size <= limit {
        return Ok(());
    }
    let message = format!("the answer has size {size}, more than {limit}");
    Err(Failed { kind: FailureKind::TooBig, message })
}

/// Bytes that keeping an answer costs.
fn wish_bytes(wish: &Wish) -> usize {
    let strings = |list: &[String]| -> usize { list.iter().map(|s| s.len() + 24).sum() };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let weights = wish.weights.iter().flatten().map(|w| w.address.len() + 32);
    let attributes = wish.attributes.iter().map(|(name, value)| name.len() + value.len() + 48);
    let interfaces = wish.interfaces.as_ref();
    text(&wish.dataplane)
        + text(&wish.scheduler)
        + text(&wish.note)
        + wish.scheduler_flags.as_deref().map_or(0, strings)
        + interfaces.map_or(0, |i| strings(&i.include) + strings(&i.exclude))
        + weights.sum::<usize>()
        + attributes.sum::<usize>()
}
