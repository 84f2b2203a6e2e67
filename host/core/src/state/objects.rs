//! What one service wants, packed: the maps of a [`KernelState`] are for many objects, and a service has few.
//! Pure.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Chain, Element, KernelState, Key, Nat, Virtual, VirtualKey};

/// Kernel objects of one service.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    virtuals: Box<[(VirtualKey, Arc<Virtual>)]>,
    nats: Box<[(VirtualKey, Arc<Nat>)]>,
    locals: Box<[IpAddr]>,
    elements: Box<[Element]>,
    chains: Box<[Chain]>,
}

/// What belongs to no service isn't among them.
impl From<KernelState> for Objects {
    fn from(state: KernelState) -> Self {
        Self {
            virtuals: state.virtuals.into_iter().collect(),
            nats: state.nats.into_iter().collect(),
            locals: state.locals.into_iter().collect(),
            elements: state.elements.into_iter().collect(),
            chains: state.chains.into_iter().collect(),
        }
    }
}

impl Objects {
    /// The names of all.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let on_ipvs = self.virtuals.iter().map(|(key, _)| *key);
        let on_nftables = self.nats.iter().map(|(key, _)| *key);
        let only = on_nftables.filter(|key| find(&self.virtuals, key).is_none());
        on_ipvs
            .chain(only)
            .map(Key::Virtual)
            .chain(self.locals.iter().copied().map(Key::Local))
            .chain(self.elements.iter().copied().map(Key::Element))
            .chain(self.chains.iter().copied().map(Key::Chain))
    }

    /// The virtual service of a service port.
    #[must_use]
    pub fn on_ipvs(&self, key: &VirtualKey) -> Option<&Arc<Virtual>> {
        find(&self.virtuals, key)
    }

    /// What nftables does with a service port.
    #[must_use]
    pub fn nat(&self, key: &VirtualKey) -> Option<&Arc<Nat>> {
        find(&self.nats, key)
    }

    /// Copies the object of this name to `into`; nothing where there is none.
    pub fn copy(&self, key: Key, into: &mut KernelState) {
        match key {
            Key::Virtual(key) => {
                into.virtuals.extend(find(&self.virtuals, &key).map(|it| (key, it.clone())));
                into.nats.extend(find(&self.nats, &key).map(|it| (key, it.clone())));
            }
            Key::Local(address) => into.locals.extend(named(&self.locals, &address)),
            Key::Element(element) => into.elements.extend(named(&self.elements, &element)),
            Key::Chain(chain) => into.chains.extend(named(&self.chains, &chain)),
            Key::Base | Key::Flowtable | Key::Interfaces(_) => {}
        }
    }

    /// All of them.
    #[must_use]
    pub fn unpacked(&self) -> KernelState {
        let mut state = KernelState::default();
        self.keys().for_each(|key| self.copy(key, &mut state));
        state
    }
}

fn find<'a, T>(sorted: &'a [(VirtualKey, T)], key: &VirtualKey) -> Option<&'a T> {
    let at = sorted.binary_search_by_key(key, |(key, _)| *key).ok()?;
    Some(&sorted[at].1)
}

fn named<T: Ord + Copy>(sorted: &[T], name: &T) -> Option<T> {
    sorted.binary_search(name).ok().map(|at| sorted[at])
}
