//! Every folder of `scenarios/` is a test: manifests and what happens to the kernel go in, plans come out.
//!
//! `scenarios/README.md` says what a folder may hold. `BLESS=1 cargo test -p weir --test scenarios`
//! writes the expected files anew; read the difference before committing it.

#[path = "scenarios/chain.rs"]
mod chain;
#[path = "scenarios/folder.rs"]
mod folder;
#[path = "scenarios/told.rs"]
mod told;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use weir::reconcile::{Defaults, Reconciler};
use weir::watch::manifests::{Batch, Content, Directory, Limits};
use weir_core::compile::{Here, WaysOut};
use weir_core::decision::Offload;
use weir_core::drain::Drains;
use weir_core::kernel::{FakeKernel, Kernel as _};
use weir_core::leaving::Leaving;
use weir_core::model::{Model, Touched};
use weir_core::plan::Operation;
use weir_core::seen::FirstSeen;
use weir_core::state::{Base, KernelState};
use weir_core::view::Interface;

use chain::Chain;
use folder::{Folder, Happening, Settings};
use told::Told;

/// Between two steps of a scenario, in milliseconds.
const STEP: u64 = 60_000;

type World = Reconciler<FakeKernel, Chain>;

#[test]
fn every_folder_is_as_expected() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(all)
        .expect("the scenarios can be read")
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 20, "scenarios are missing");
    let wrong: Vec<String> = folders.iter().flat_map(|path| play(&Folder::read(path))).collect();
    assert!(wrong.is_empty(), "\n{}\nBLESS=1 writes what came out", wrong.join("\n"));
}

/// Plays one scenario and says what isn't as expected.
fn play(folder: &Folder) -> Vec<String> {
    let mut told = Told::default();
    let mut directory = Directory::new(Limits::default());
    let mut world = start(folder, FakeKernel::default());
    let mut there = interfaces(&folder.settings.interfaces);
    for (number, step) in folder.steps.iter().enumerate() {
        let now = number as u64 * STEP;
        if let Some(happening) = &step.happening {
            if let Some(names) = &happening.interfaces {
                there = interfaces(names);
            }
            happen(happening, &there, &mut world);
        }
        if let Some(decisions) = &step.decisions {
            world.policies = Chain::new(decisions.clone());
            world.touch(Touched::all());
        }
        world.check_drains(now).expect("the fake can be asked");
        if let Some(manifests) = &step.manifests {
            let files = vec![(PathBuf::from("cluster.yaml"), Content::Bytes(manifests.clone()))];
            let update = directory.apply(Batch { files, ..Batch::default() });
            told.report(number, &update.report);
            world.fold(update.changes, now / 1000);
            // Each step's manifests are all there are.
            world.listed(Some(now / 1000));
        }
        let turn = world.turn(now).expect("the fake can be looked at");
        told.turn(number, &turn);
        if turn.refused.is_empty() {
            at_rest(folder, &mut world, &there, now);
        }
    }
    told.decisions(folder, &world);
    folder.compare(&told.files)
}

fn start(folder: &Folder, kernel: FakeKernel) -> World {
    let settings = &folder.settings;
    let defaults = Defaults {
        limits: weir_core::decision::AllLimits::default(),
        dataplane: settings.dataplane,
        scheduler: settings.scheduler,
        proxy_name: settings.proxy_name.clone(),
        offload: NonZeroU32::new(settings.offload_after).map_or(Offload::Never, Offload::After),
        cpus: 2,
    };
    let model = Model::new(&settings.node);
    let chain = Chain::new(folder.decisions.clone());
    let mut world = Reconciler::new(model, kernel, chain, settings.abilities(), defaults);
    world.resume(Drains::new(settings.drain_seconds * 1000, &[]), FirstSeen::default());
    world.set_base(Some(Base { ranges: settings.service_ranges.clone(), ..Base::default() }));
    world.set_interfaces(&interfaces(&settings.interfaces));
    world.set_here(settings.here());
    world
}

/// Interfaces of these names. One that comes back is another than before: its index is its place.
fn interfaces(names: &[String]) -> Vec<Interface> {
    let one = |(index, name): (u32, &String)| {
        let pod = name.starts_with("veth");
        Interface {
            index,
            name: name.clone(),
            kind: if pod { "veth".into() } else { String::new() },
            mtu: 1500,
            flags: vec!["up".into(), "running".into()],
            addresses: if pod { Vec::new() } else { vec!["192.0.2.1/24".parse().expect("a net")] },
            default_route: !pod,
            pod,
            ..Interface::default()
        }
    };
    (1..).zip(names).map(one).collect()
}

/// What others and time did to the kernel since the last step; weir looks at it.
fn happen(happening: &Happening, there: &[Interface], world: &mut World) {
    let kernel = &mut world.kernel;
    if happening.flushed {
        kernel.state.virtuals.clear();
    }
    if happening.table_deleted {
        kernel.state = kernel.state.with_table_of(KernelState::default());
    }
    for (key, slot) in happening.emptied_slots() {
        let nat = kernel.state.nats.get_mut(&key).expect("nftables carries it");
        let nat = std::sync::Arc::make_mut(nat);
        *nat.main.slots.get_mut(slot).expect("it has the slot") = None;
    }
    let foreign = happening.foreign().map(|(key, it)| (key, it.into()));
    kernel.state.virtuals.extend(foreign);
    for key in happening.given_up() {
        kernel.state.virtuals.remove(&key);
    }
    kernel.open = happening.busy();
    kernel.translated = happening.busy();
    if let Some(devices) = &mut kernel.state.flowtable {
        devices.retain(|device| there.iter().any(|it| it.name == device.as_str()));
    }
    world.set_interfaces(there);
    world.look().expect("the fake can be looked at");
}

/// What holds after each turn: what is known is there, nothing is left to do, and a restart at
/// this point would not write a thing.
fn at_rest(folder: &Folder, world: &mut World, now_there: &[Interface], now: u64) {
    let name = &folder.name;
    let seen = world.kernel.observe().expect("the fake can be looked at");
    assert_eq!(&seen.ours, world.ledger().known(), "{name}: known and real state");
    let again = world.turn(now).expect("the fake can be looked at");
    assert!(again.plan.is_empty(), "{name}: left to do:\n{}", again.plan);
    let mut next = start(folder, world.kernel.clone().restarted());
    next.model = world.model.clone();
    next.policies = world.policies.clone();
    next.set_interfaces(now_there);
    let limit = folder.settings.drain_seconds * 1000;
    let mut drains = Drains::new(limit, &world.drains().saved());
    drains.leaving = Leaving::new(limit, &world.drains().leaving.saved());
    next.resume(drains, FirstSeen::default());
    next.look().expect("the fake can be looked at");
    next.touch(Touched::all());
    let turn = next.turn(now).expect("the fake can be looked at");
    // Flows that an earlier run may have left are looked for at every start.
    let written = turn.plan.operations().iter();
    let written: Vec<_> = written
        .filter(|it| !matches!(it, Operation::EndFlows { .. }))
        .map(ToString::to_string)
        .collect();
    assert!(written.is_empty(), "{name}: a restart writes:\n{}", written.join("\n"));
}

impl Settings {
    /// What is around the scenario's services.
    fn here(&self) -> Here {
        let out = self.default_routes;
        Here {
            ways_out: WaysOut { v4: out, v6: out },
            own: self.own.iter().map(|ip| (*ip, "eth0".to_owned())).collect(),
            node_ports: self.node_ports.clone(),
            external_ranges: self.external_ranges.clone(),
            ..Here::default()
        }
    }

    /// What the scenario's kernel can do.
    fn abilities(&self) -> weir_core::view::KernelAbilities {
        use weir_core::decision::Scheduler;
        let names = |on: fn(Scheduler) -> bool| {
            let there =
                Scheduler::ALL.into_iter().filter(|it| on(*it) && !self.without.contains(it));
            there.map(|it| it.as_str().to_owned()).collect()
        };
        weir_core::view::KernelAbilities {
            release: "6.12.0".into(),
            dataplanes: self.dataplanes.iter().map(|it| it.as_str().to_owned()).collect(),
            ipvs_schedulers: names(Scheduler::on_ipvs),
            nftables_schedulers: names(Scheduler::on_nftables),
            flowtable: self.flowtable,
        }
    }
}
