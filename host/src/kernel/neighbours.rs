//! Signs of kube-proxy on this node: its process, and what it leaves in the kernel. Looks; changes nothing.
//!
//! It answers for the same addresses, and in nftables mode flushes all of IPVS at each start. Where weir serves
//! only its own Services beside it, it is a sign of nothing; but in IPVS mode it takes away what others have there.

mod mode;
mod names;

use std::path::Path;
use std::{fs, io};

use weir_link::{LinkName, Links};
use weir_nft::{Chain, Family, Name, Socket, Table};

use super::virtuals::chain;

pub(in crate::kernel) use names::few;

/// One sign that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// What, for example `device kube-ipvs0`.
    pub what: String,
    /// What is there of it, if anything is; or why nobody knows.
    pub there: Result<Option<String>, String>,
    /// What to do where it is.
    pub advice: String,
}

const RUNS: &str =
    "two proxies on one node undo each other's work: stop it, then `kube-proxy --cleanup`";
/// What removes all that it left, whatever the mode. It flushes IPVS whoever made what is in there.
const CLEANUP: &str = "stop it, then run `kube-proxy --cleanup` of the version that ran here, while \
     weir doesn't run: it flushes all of IPVS";
/// What keeps weir's Services whole beside it.
const BESIDE: &str =
    "run it in iptables mode, or keep weir's services off IPVS (`dataplane: nftables`)";

/// Looks for every sign that matters where weir is the node's only proxy (`is_alone`), or serves its own Services
/// beside kube-proxy. Another network or process namespace has its own: a pod needs `hostNetwork` to see the
/// node's, and `hostPID` to see the process.
#[must_use]
pub fn kube_proxy(is_alone: bool) -> Vec<Sign> {
    if is_alone { instead_of_it() } else { beside_it() }
}

fn beside_it() -> Vec<Sign> {
    let mut nft = Socket::open().map_err(|error| chain(&error));
    let tables = [Family::Ip, Family::Ip6].map(|family| {
        table(&mut nft, family, format!("in nftables mode it flushes IPVS at each start: {BESIDE}"))
    });
    let advice = format!(
        "in IPVS mode it takes away, at each sync, what isn't its own there: {BESIDE}. If it ran in that mode \
         only once: `ip link delete kube-ipvs0`"
    );
    tables.into_iter().chain([device(advice)]).collect()
}

fn instead_of_it() -> Vec<Sign> {
    let sign = |what: &str, there| Sign { what: what.to_owned(), there, advice: RUNS.to_owned() };
    let mut signs = vec![
        sign("process kube-proxy", there(runs(Path::new("/proc")))),
        sign("kube-proxy at port 10249", mode::look()),
        device(format!(
            "kube-proxy in IPVS mode runs or ran here, and its addresses are local: {CLEANUP}. \
             The device alone: `ip link delete kube-ipvs0`"
        )),
    ];
    let mut nft = Socket::open().map_err(|error| chain(&error));
    for family in [Family::Ip, Family::Ip6] {
        let own = own_table(family);
        let advice = format!(
            "kube-proxy in nftables mode runs or ran here; each of its starts flushes IPVS: {CLEANUP}. \
             The table alone: `nft delete table {own}`"
        );
        signs.push(table(&mut nft, family, advice));
        signs.extend(chains(ask(&mut nft, |nft| nft.chains(family)), family));
    }
    signs.push(ipsets(&mut nft, Path::new("/sys/module/ip_set")));
    signs
}

fn there(is: Result<bool, String>) -> Result<Option<String>, String> {
    is.map(|is| is.then(|| "there".to_owned()))
}

fn device(advice: String) -> Sign {
    Sign { what: "device kube-ipvs0".to_owned(), there: there(has_link("kube-ipvs0")), advice }
}

fn own_table(family: Family) -> Table {
    Table { family, name: Name::literal("kube-proxy") }
}

fn table(nft: &mut Result<Socket, String>, family: Family, advice: String) -> Sign {
    let own = own_table(family);
    let is = ask(nft, |nft| nft.has_table(&own));
    Sign { what: format!("table {own}"), there: there(is), advice }
}

/// One sign for each table of iptables that has such chains, one for all tables where none has.
fn chains(found: Result<Vec<(Table, Chain)>, String>, family: Family) -> Vec<Sign> {
    let advice = |iptables: &str| {
        format!(
            "kube-proxy in iptables or IPVS mode runs or ran here, and its rules come before IPVS: \
             {CLEANUP}. The chains alone: `{iptables}-nft-save | grep -v KUBE- | \
             {iptables}-nft-restore` (the kubelet makes its own again)"
        )
    };
    let advice = advice(if family == Family::Ip6 { "ip6tables" } else { "iptables" });
    let all = match found {
        Ok(all) => all,
        Err(error) => {
            let what = format!("chains of kube-proxy in tables of {family}");
            return vec![Sign { what, there: Err(error), advice }];
        }
    };
    let sign = |(table, names): (&str, Vec<&str>)| Sign {
        what: format!("chains of kube-proxy in table {family} {table}"),
        there: Ok(Some(few(&names))),
        advice: advice.clone(),
    };
    names::chains(&all).into_iter().map(sign).collect()
}

/// Asking would load the module, so it is asked only where that is loaded.
fn ipsets(nft: &mut Result<Socket, String>, module: &Path) -> Sign {
    let names = if module.exists() { ask(nft, Socket::ipsets) } else { Ok(Vec::new()) };
    let kept =
        names.map(|all| all.into_iter().filter(|it| names::is_ipset(it)).collect::<Vec<_>>());
    let told = |kept: Vec<String>| (!kept.is_empty()).then(|| few(&kept));
    Sign {
        what: "ipsets of kube-proxy".to_owned(),
        there: kept.map(told),
        advice: format!(
            "kube-proxy in IPVS mode runs or ran here: {CLEANUP}. The sets alone, once no rule names \
             them: `ipset list -n | grep ^KUBE- | xargs -n 1 ipset destroy`"
        ),
    }
}

fn ask<T>(
    nft: &mut Result<Socket, String>,
    question: impl FnOnce(&mut Socket) -> Result<T, weir_nft::ObserveError>,
) -> Result<T, String> {
    let nft = nft.as_mut().map_err(|error| error.clone())?;
    question(nft).map_err(|error| chain(&error))
}

fn has_link(name: &str) -> Result<bool, String> {
    let name = LinkName::new(name).map_err(|error| chain(&error))?;
    let mut links = Links::open(weir_link::DEFAULT_TIMEOUT).map_err(|error| chain(&error))?;
    let found = links.link(&name).map_err(|error| chain(&error))?;
    Ok(found.is_some())
}

/// Whether a process of that name is among those that can be seen.
fn runs(proc: &Path) -> Result<bool, String> {
    let is_it = |entry: io::Result<fs::DirEntry>| {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(false);
        }
        // Processes end while one looks.
        Ok(fs::read(path.join("comm")).is_ok_and(|comm| comm.trim_ascii_end() == b"kube-proxy"))
    };
    let entries = fs::read_dir(proc).map_err(|error| chain(&error))?;
    let found: io::Result<Vec<bool>> = entries.map(is_it).collect();
    found.map(|all| all.contains(&true)).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let process = |number: &str, comm: &str| {
            fs::create_dir(dir.path().join(number)).unwrap();
            fs::write(dir.path().join(number).join("comm"), comm).unwrap();
        };
        process("17", "kube-proxy-x\n");
        process("tty", "kube-proxy\n");
        fs::create_dir(dir.path().join("18")).unwrap();
        assert_eq!(runs(dir.path()), Ok(false));
        process("19", "kube-proxy\n");
        assert_eq!(runs(dir.path()), Ok(true));
        assert!(runs(&dir.path().join("absent")).unwrap_err().contains("No such file"));
    }

    #[test]
    fn each_table_with_chains_is_a_sign_with_what_to_run() {
        let of = |table: &'static str, name: &'static str| {
            let table = Table { family: Family::Ip6, name: Name::literal(table) };
            (table, Chain::regular(Name::literal(name)))
        };
        let all =
            vec![of("nat", "KUBE-SERVICES"), of("nat", "PREROUTING"), of("filter", "KUBE-FORWARD")];
        let signs = chains(Ok(all), Family::Ip6);
        let told: Vec<_> = signs.iter().map(|it| (it.what.as_str(), it.there.clone())).collect();
        let one = |name: &str| Ok(Some(format!("1: {name}")));
        let want = [
            ("chains of kube-proxy in table ip6 filter", one("KUBE-FORWARD")),
            ("chains of kube-proxy in table ip6 nat", one("KUBE-SERVICES")),
        ];
        assert_eq!(told, want);
        assert!(
            signs[0]
                .advice
                .contains("`ip6tables-nft-save | grep -v KUBE- | ip6tables-nft-restore`")
        );
        assert_eq!(chains(Ok(vec![of("nat", "PREROUTING")]), Family::Ip6), []);
        let failed = chains(Err("refused".to_owned()), Family::Ip6);
        assert_eq!(failed[0].there, Err("refused".to_owned()));
    }

    #[test]
    fn ipsets_are_not_asked_for_where_there_can_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut no_socket = Err("no socket".to_owned());
        assert_eq!(ipsets(&mut no_socket, &dir.path().join("ip_set")).there, Ok(None));
        assert_eq!(ipsets(&mut no_socket, dir.path()).there, Err("no socket".to_owned()));
    }
}
