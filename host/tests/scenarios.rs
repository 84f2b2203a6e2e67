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

use std::path::{Path, PathBuf};

use weir::reconcile::{Defaults, Reconciler};
use weir::watch::manifests::{Batch, Content, Directory, Limits};
use weir_core::drain::Drains;
use weir_core::kernel::{FakeKernel, Kernel as _};
use weir_core::model::Model;
use weir_core::seen::FirstSeen;
use weir_core::state::Base;

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
    for (number, step) in folder.steps.iter().enumerate() {
        let now = number as u64 * STEP;
        if let Some(happening) = &step.happening {
            happen(happening, &mut world);
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
            at_rest(folder, &mut world, now);
        }
    }
    told.decisions(folder, &world);
    folder.compare(&told.files)
}

fn start(folder: &Folder, kernel: FakeKernel) -> World {
    let settings = &folder.settings;
    let defaults = Defaults {
        dataplane: settings.dataplane,
        scheduler: settings.scheduler,
        proxy_name: settings.proxy_name.clone(),
        cpus: 2,
    };
    let model = Model::new(&settings.node);
    let chain = Chain::new(folder.decisions.clone());
    let mut world = Reconciler::new(model, kernel, chain, settings.abilities(), defaults);
    world.resume(Drains::new(settings.drain_seconds * 1000, &[]), FirstSeen::default());
    world.set_base(Some(Base::default()));
    world
}

/// What others and time did to the kernel since the last step; weir looks at it.
fn happen(happening: &Happening, world: &mut World) {
    let kernel = &mut world.kernel;
    if happening.flushed {
        kernel.state.virtuals.clear();
    }
    if happening.table_deleted {
        kernel.state.base = None;
        kernel.state.elements.clear();
    }
    kernel.state.virtuals.extend(happening.foreign());
    for key in happening.given_up() {
        kernel.state.virtuals.remove(&key);
    }
    kernel.open = happening.busy();
    world.look().expect("the fake can be looked at");
}

/// What holds after each turn: what is known is there, nothing is left to do, and a restart at
/// this point would not write a thing.
fn at_rest(folder: &Folder, world: &mut World, now: u64) {
    let name = &folder.name;
    let seen = world.kernel.observe().expect("the fake can be looked at");
    assert_eq!(&seen.ours, world.ledger().known(), "{name}: known and real state");
    let again = world.turn(now).expect("the fake can be looked at");
    assert!(again.plan.is_empty(), "{name}: left to do:\n{}", again.plan);
    let mut next = start(folder, world.kernel.clone().restarted());
    next.model = world.model.clone();
    next.resume(
        Drains::new(folder.settings.drain_seconds * 1000, &world.drains().saved()),
        FirstSeen::default(),
    );
    next.look().expect("the fake can be looked at");
    next.touch(weir_core::model::Touched::all());
    let turn = next.turn(now).expect("the fake can be looked at");
    assert!(turn.plan.is_empty(), "{name}: a restart writes:\n{}", turn.plan);
}

impl Settings {
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
