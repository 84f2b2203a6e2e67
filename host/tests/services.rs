//! The tables of `tests/services` on the pure half: each cluster is compiled for each dataplane, and
//! what a client meets is worked out from the kernel objects that come out. The same tables run with
//! packets in a guest (`tests/guest/services.sh`), so that neither this reading of the objects nor the
//! kernel's can be wrong alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "services/chain.rs"]
mod chain;
#[path = "services/packet.rs"]
mod packet;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir::base::{Around, base, here};
use weir::config::{Config, Overrides, parse};
use weir::reconcile::{Defaults, Reconciler};
use weir::watch::Problem;
use weir::watch::manifests::{Batch, Content, Directory, Limits};
use weir_core::decision::{Dataplane, Offload, Scheduler};
use weir_core::kernel::FakeKernel;
use weir_core::model::{Model, Touched};
use weir_core::state::KernelState;
use weir_core::view::{Interface, KernelAbilities};
use weir_traffic::table::{NODE, Table};

use chain::InTurn;
use packet::meets;

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/services");
    let entries = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 6, "{folders:?}");
    folders
}

#[test]
fn every_client_meets_what_its_table_says() {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for folder in folders() {
        let manifests = fs::read(folder.join("cluster.yaml")).unwrap();
        let told = problems(&folder);
        let tables = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        for path in tables.filter(|path| is_table(path)) {
            let text = fs::read_to_string(&path).unwrap();
            let table = Table::parse(&text).unwrap_or_else(|error| panic!("{path:?}: {error:#}"));
            for dataplane in [Dataplane::Ipvs, Dataplane::Nftables] {
                let world = world(&table.config, &manifests, dataplane);
                if world.told != told {
                    let name = path.display();
                    wrong.push(format!("{dataplane}: {name}: told is {:#?}", world.told));
                }
                for row in table.rows_on(dataplane.as_str()) {
                    rows += 1;
                    let met = meets(&world, row);
                    if met != row.answer {
                        let (line, name) = (row.line, path.display());
                        wrong.push(format!("{dataplane}: {name}:{line}: {row}: {met}"));
                    }
                }
            }
        }
    }
    assert!(rows > 1000, "{rows} rows");
    assert!(wrong.is_empty(), "{} of {rows}:\n{}", wrong.len(), wrong.join("\n"));
}

const PROBLEMS: &str = "problems.txt";

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "txt") && !path.ends_with(PROBLEMS)
}

/// What is to be told of a folder's manifests.
fn problems(folder: &Path) -> BTreeSet<String> {
    let path = folder.join(PROBLEMS);
    let text = if path.exists() { fs::read_to_string(path).unwrap() } else { String::new() };
    text.lines().map(str::to_owned).collect()
}

/// What there is in the kernel, and what is told there of the node.
struct World {
    state: KernelState,
    around: Around,
    /// What is wrong with the manifests, without the place in the file.
    told: BTreeSet<String>,
}

fn world(config: &str, manifests: &[u8], dataplane: Dataplane) -> World {
    let head = "apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\nnodeName: here\n";
    let config = parse(Path::new("weir.yaml"), &format!("{head}{config}"), &Overrides::default());
    let (config, _) = config.unwrap_or_else(|errors| panic!("{errors}"));
    let mut all = reconciler(&config, dataplane);
    let mut directory = Directory::new(Limits::default());
    let files = vec![(PathBuf::from("cluster.yaml"), Content::Bytes(manifests.to_vec()))];
    let update = directory.apply(Batch { files, ..Batch::default() });
    let placeless = |it: Problem| Problem { file: None, document: None, line: None, ..it };
    let appeared = update.report.appeared.into_iter().map(placeless);
    let mut told: BTreeSet<String> = appeared.map(|it| it.to_string()).collect();
    all.fold(update.changes, 0);
    all.listed(None);
    let around = around();
    all.set_base(Some(base(&config, &all.model)));
    all.set_interfaces(&interfaces(&around));
    all.set_here(here(&config, &all.model, &around));
    all.touch(Touched::all());
    let turn = all.turn(0).unwrap();
    assert!(turn.refused.is_empty(), "{:?}", turn.refused);
    told.extend(
        turn.conflicts
            .iter()
            .map(|it| format!("{} belongs to {}; {} also wants it", it.key, it.winner, it.loser)),
    );
    World { state: all.kernel.state, around, told }
}

fn reconciler(config: &Config, dataplane: Dataplane) -> Reconciler<FakeKernel, InTurn> {
    let names = |on: fn(Scheduler) -> bool| {
        Scheduler::ALL.into_iter().filter(|it| on(*it)).map(|it| it.to_string()).collect()
    };
    let abilities = KernelAbilities {
        dataplanes: ["ipvs", "nftables"].map(str::to_owned).into(),
        ipvs_schedulers: names(Scheduler::on_ipvs),
        nftables_schedulers: names(Scheduler::on_nftables),
        flowtable: true,
        ..KernelAbilities::default()
    };
    let defaults = Defaults {
        limits: weir_core::decision::AllLimits::default(),
        dataplane: Some(dataplane),
        scheduler: Scheduler::Rr,
        offload: Offload::Never,
        proxy_name: None,
        cpus: 2,
    };
    let name = config.resolved_node_name().unwrap().to_string();
    Reconciler::new(Model::new(name), FakeKernel::default(), InTurn, abilities, defaults)
}

/// The interfaces that hold addresses, all of them up.
fn interfaces(around: &Around) -> Vec<Interface> {
    let names: BTreeSet<&String> = around.held.iter().map(|(name, _)| name).collect();
    let one = |(index, name): (u32, &String)| Interface {
        index,
        name: name.clone(),
        flags: vec!["up".into()],
        ..Interface::default()
    };
    (1..).zip(names).map(one).collect()
}

/// The node of tests/services/README.md.
fn around() -> Around {
    let held = [
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("br0", "10.1.0.1"),
        ("br0", "fd00:1::1"),
        ("veth-remote1", "10.3.1.1"),
        ("veth-remote1", "fd00:3:1::1"),
        ("veth-remote2", "10.3.2.1"),
        ("veth-remote2", "fd00:3:2::1"),
    ];
    let held = held.map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()));
    let uplink = [NODE.v4.into(), NODE.v6.into()].map(|ip| ("veth-client".to_owned(), ip));
    Around { held: held.into_iter().chain(uplink).collect(), ..Around::default() }
}
