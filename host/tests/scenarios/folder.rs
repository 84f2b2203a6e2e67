//! What a scenario's folder says, and whether what came out is what it expects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_core::decision::{Dataplane, Scheduler, SchedulerFlags};
use weir_core::kernel::Server;
use weir_core::net::{Port, Protocol};
use weir_core::state::{Balance, Destinations, Virtual, VirtualKey};

use crate::chain::Answer;

/// `settings.yaml`: the node and its configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// This node's name; its Node object, where it matters, is among the manifests.
    pub(crate) node: String,
    /// `--dataplane`; absent is `auto`.
    pub(crate) dataplane: Option<Dataplane>,
    /// The scheduler of services on which no policy has an opinion.
    pub(crate) scheduler: Scheduler,
    /// Whose services are ours.
    pub(crate) proxy_name: Option<String>,
    /// What the kernel has.
    pub(crate) dataplanes: Vec<Dataplane>,
    /// Schedulers that it lacks.
    pub(crate) without: Vec<Scheduler>,
    /// Whether it has flowtables.
    pub(crate) flowtable: bool,
    /// After how many seconds a server that ends is late.
    pub(crate) drain_seconds: u64,
    /// After how many packets flows are offloaded where no policy has an opinion; 0 is never.
    pub(crate) offload_after: u32,
    /// The node's interfaces at the start: those whose names begin with `veth` are pods'.
    pub(crate) interfaces: Vec<String>,
    /// Whether the node has default routes.
    pub(crate) default_routes: bool,
    /// Ranges of service addresses.
    pub(crate) service_ranges: BTreeSet<IpNet>,
    /// Addresses of the node's interfaces.
    pub(crate) own: BTreeSet<IpAddr>,
    /// Those of them at which node ports answer.
    pub(crate) node_ports: BTreeSet<IpAddr>,
    /// Where external addresses may be; absent is anywhere.
    pub(crate) external_ranges: Option<BTreeSet<IpNet>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: "node-1".into(),
            dataplane: Some(Dataplane::Ipvs),
            scheduler: Scheduler::Rr,
            proxy_name: None,
            dataplanes: vec![Dataplane::Ipvs, Dataplane::Nftables],
            without: Vec::new(),
            flowtable: true,
            drain_seconds: 900,
            offload_after: 0,
            interfaces: Vec::new(),
            default_routes: true,
            service_ranges: BTreeSet::new(),
            own: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            external_ranges: None,
        }
    }
}

/// `kernel-N.yaml`: what happened to the kernel before step N.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Happening {
    /// Somebody removed every virtual service.
    pub(crate) flushed: bool,
    /// Somebody deleted the table.
    pub(crate) table_deleted: bool,
    /// Somebody made these: `tcp 10.96.0.1:80`.
    foreign: Vec<String>,
    /// Somebody removed those of his again.
    given_up: Vec<String>,
    /// Open connections: `tcp 10.96.0.1:80 -> 10.0.0.1:80`; servers that aren't listed have none.
    busy: BTreeMap<String, u64>,
    /// The node's interfaces from now on.
    pub(crate) interfaces: Option<Vec<String>>,
    /// Somebody took this element out of its map: `tcp 10.96.0.1:80 slot 1`.
    pub(crate) emptied_slots: Vec<String>,
}

impl Happening {
    pub(crate) fn foreign(&self) -> impl Iterator<Item = (VirtualKey, Virtual)> {
        let balance = Balance {
            scheduler: Scheduler::Wlc,
            flags: SchedulerFlags::default(),
            persistence: None,
        };
        self.foreign.iter().map(move |text| {
            (
                virtual_key(text),
                Virtual { balance: balance.clone(), destinations: Destinations::new() },
            )
        })
    }

    pub(crate) fn emptied_slots(&self) -> impl Iterator<Item = (VirtualKey, usize)> {
        self.emptied_slots.iter().map(|text| {
            let (key, slot) = text.split_once(" slot ").expect("emptied-slots: KEY slot N");
            (virtual_key(key), slot.parse().expect("a number"))
        })
    }

    pub(crate) fn given_up(&self) -> impl Iterator<Item = VirtualKey> {
        self.given_up.iter().map(|text| virtual_key(text))
    }

    pub(crate) fn busy(&self) -> BTreeMap<Server, u64> {
        let server = |(text, open): (&String, &u64)| {
            let (key, to) = text.split_once(" -> ").expect("busy: VIRTUAL -> SERVER");
            ((virtual_key(key), address(to)), *open)
        };
        self.busy.iter().map(server).collect()
    }
}

fn virtual_key(text: &str) -> VirtualKey {
    let (protocol, to) = text.split_once(' ').expect("PROTOCOL ADDRESS:PORT");
    let protocol: Protocol = protocol.to_uppercase().parse().expect("a protocol");
    let to = address(to);
    VirtualKey { address: to.ip(), protocol, port: Port::new(to.port()).expect("a port") }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("ADDRESS:PORT")
}

/// One step.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// What the manifests say from now on; unchanged where absent.
    pub(crate) manifests: Option<Vec<u8>>,
    /// What happened before.
    pub(crate) happening: Option<Happening>,
    /// What the policies answer from now on; unchanged where absent.
    pub(crate) decisions: Option<Vec<Answer>>,
}

/// A scenario.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) decisions: Vec<Answer>,
    pub(crate) steps: Vec<Step>,
    path: PathBuf,
}

impl Folder {
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().display().to_string();
        let first = Step {
            manifests: Some(std::fs::read(path.join("cluster.yaml")).expect("cluster.yaml")),
            happening: yaml(&path.join("kernel-0.yaml")),
            decisions: None,
        };
        let later = (1..).map(|n| Step {
            manifests: std::fs::read(path.join(format!("then-{n}.yaml"))).ok(),
            happening: yaml(&path.join(format!("kernel-{n}.yaml"))),
            decisions: yaml(&path.join(format!("decisions-{n}.yaml"))),
        });
        let later = later.take_while(|step| {
            step.manifests.is_some() || step.happening.is_some() || step.decisions.is_some()
        });
        let steps = std::iter::once(first).chain(later).collect();
        let settings = yaml(&path.join("settings.yaml")).unwrap_or_default();
        let decisions = yaml(&path.join("decisions.yaml")).unwrap_or_default();
        let folder = Self { name, settings, decisions, steps, path: path.to_owned() };
        folder.know_every_file();
        folder
    }

    /// A file that nobody reads tests nothing.
    fn know_every_file(&self) {
        let steps = self.steps.len();
        let mut known: BTreeSet<String> =
            ["cluster.yaml", "settings.yaml", "decisions.yaml", "about.txt"]
                .map(String::from)
                .into();
        known.extend(
            (0..steps).flat_map(|n| {
                ["then", "kernel", "decisions"].map(|word| format!("{word}-{n}.yaml"))
            }),
        );
        let strange = self.files().find(|name| !name.ends_with(".txt") && !known.contains(name));
        assert_eq!(strange, None, "{}: no such file is read", self.name);
    }

    fn files(&self) -> impl Iterator<Item = String> {
        let entries = std::fs::read_dir(&self.path).expect("the folder can be read");
        entries.map(|entry| entry.expect("an entry can be read").file_name().display().to_string())
    }

    /// What differs from the files that are expected; with `BLESS=1`, nothing, after writing them.
    pub(crate) fn compare(&self, came: &BTreeMap<String, String>) -> Vec<String> {
        let bless = std::env::var_os("BLESS").is_some_and(|it| it == "1");
        let expected = self.files().filter(|name| name.ends_with(".txt") && name != "about.txt");
        let names: BTreeSet<String> = expected.chain(came.keys().cloned()).collect();
        let mut wrong = Vec::new();
        for name in names {
            let path = self.path.join(&name);
            let want = std::fs::read_to_string(&path).ok();
            let got = came.get(&name);
            if want.as_ref() == got {
                continue;
            }
            if bless {
                match got {
                    Some(text) => {
                        std::fs::write(&path, text).expect("an expected file can be written");
                    }
                    None => std::fs::remove_file(&path).expect("an expected file can be removed"),
                }
                continue;
            }
            let shown =
                |text: Option<&String>| text.map_or("(no such file)\n", String::as_str).to_owned();
            let (want, got) = (shown(want.as_ref()), shown(got));
            wrong.push(format!("== {}/{name}\n-- expected\n{want}-- came\n{got}", self.name));
        }
        wrong
    }
}

fn yaml<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = std::fs::read_to_string(path).ok()?;
    match serde_saphyr::from_str(&text) {
        Ok(value) => Some(value),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
