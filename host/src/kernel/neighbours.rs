//! Signs of kube-proxy on this node: its process, and what it leaves in the kernel. Looks; changes nothing.
//!
//! It answers for the same addresses, and in nftables mode flushes all of IPVS at each start.

use std::path::Path;
use std::{fs, io};

use weir_link::{LinkName, Links};
use weir_nft::{Family, Name, Socket, Table};

use super::virtuals::chain;

/// One sign that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// What, for example `device kube-ipvs0`.
    pub what: String,
    /// Whether it is there, or why nobody knows.
    pub there: Result<bool, String>,
    /// What to do where it is.
    pub advice: &'static str,
}

const RUNS: &str =
    "two proxies on one node undo each other's work: stop it, then `kube-proxy --cleanup`";
const IPVS: &str = "kube-proxy in IPVS mode runs or ran here: stop it, then `kube-proxy --cleanup`";
const IPTABLES: &str = "kube-proxy in iptables or IPVS mode runs or ran here, and its rules come before \
     IPVS: stop it, then `kube-proxy --cleanup`";
const NFTABLES: &str = "kube-proxy in nftables mode runs or ran here; each of its starts flushes IPVS: \
     stop it, then `kube-proxy --cleanup`";

/// Looks for every sign. Another network or process namespace has its own: a pod needs `hostNetwork`
/// to see the node's, and `hostPID` to see the process.
#[must_use]
pub fn kube_proxy() -> Vec<Sign> {
    let sign = |what: String, there, advice| Sign { what, there, advice };
    let mut signs = vec![
        sign("process kube-proxy".to_owned(), runs(Path::new("/proc")), RUNS),
        sign("device kube-ipvs0".to_owned(), has_link("kube-ipvs0"), IPVS),
    ];
    let mut nft = Socket::open().map_err(|error| chain(&error));
    for family in [Family::Ip, Family::Ip6] {
        let table = |name| Table { family, name };
        let own = table(Name::literal("kube-proxy"));
        let there = ask(&mut nft, |nft| nft.has_table(&own));
        signs.push(sign(format!("table {own}"), there, NFTABLES));
        let (nat, services) = (table(Name::literal("nat")), Name::literal("KUBE-SERVICES"));
        let there = ask(&mut nft, |nft| nft.has_chain(&nat, &services));
        signs.push(sign(format!("chain {services} of table {nat}"), there, IPTABLES));
    }
    signs
}

fn ask(
    nft: &mut Result<Socket, String>,
    question: impl FnOnce(&mut Socket) -> Result<bool, weir_nft::ObserveError>,
) -> Result<bool, String> {
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
}
