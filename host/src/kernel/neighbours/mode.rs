//! Whether a kube-proxy answers on its metrics port, and in which mode it runs. Asks over loopback.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// kube-proxy's `metricsBindAddress` where nothing else is configured; weir's own, too.
const PORT: u16 = 10249;
/// How long loopback may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than the answer has.
const MOST: u64 = 4096;

/// What answers `/proxyMode` with the name of a mode; `None` where nothing does.
pub(super) fn look() -> Result<Option<String>, String> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, PORT));
    match at(v4)? {
        None => at(v6),
        found => Ok(found),
    }
}

fn at(address: SocketAddr) -> Result<Option<String>, String> {
    match ask(address) {
        Ok(answer) => Ok(mode(&answer).map(|mode| format!("runs, in mode {mode}"))),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(format!("ask http://{address}/proxyMode: {error}")),
    }
}

/// Nobody listens, or the family has no loopback here.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kinds = [
        Kind::ConnectionRefused,
        Kind::AddrNotAvailable,
        Kind::NetworkUnreachable,
        Kind::HostUnreachable,
        Kind::Unsupported,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /proxyMode HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A header of weir's own answer, which is one of the modes as well.
const OURS: &str = "weir-dataplanes:";

/// The mode in an answer that is kube-proxy's; weir itself and others say something else.
fn mode(answer: &[u8]) -> Option<&str> {
    const MODES: [&str; 3] = ["iptables", "ipvs", "nftables"];
    let (head, body) = std::str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    let is_ok = head.starts_with("HTTP/1.") && head.split(' ').nth(1) == Some("200");
    let is_ours = head.lines().any(|line| line.to_ascii_lowercase().starts_with(OURS));
    (is_ok && !is_ours).then(|| body.trim()).filter(|body| MODES.contains(body))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_kube_proxys_answer_counts() {
        let cases = [
            ("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nipvs", Some("ipvs")),
            ("HTTP/1.1 200 OK\r\n\r\nnftables\n", Some("nftables")),
            ("HTTP/1.0 404 Not Found\r\n\r\nipvs", None),
            ("HTTP/1.0 200 OK\r\n\r\nok", None),
            ("HTTP/1.1 200 OK\r\nWeir-Dataplanes: ipvs=1, nftables=0\r\n\r\nipvs", None),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nipvs", None),
            ("SSH-2.0-OpenSSH\r\n\r\nipvs", None),
            ("HTTP/1.0 200 OK\r\n", None),
            ("", None),
        ];
        for (answer, want) in cases {
            assert_eq!(mode(answer.as_bytes()), want, "{answer:?}");
        }
        assert_eq!(mode(b"HTTP/1.0 200 OK\r\n\r\n\xff"), None);
    }

    /// A server that gives one answer.
    fn serve(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 200];
            let len = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        (address, served)
    }

    #[test]
    fn a_running_one_tells_its_mode() {
        let (address, served) = serve("HTTP/1.0 200 OK\r\n\r\niptables");
        assert_eq!(at(address), Ok(Some("runs, in mode iptables".to_owned())));
        assert!(served.join().unwrap().starts_with("GET /proxyMode HTTP/1.0\r\n"));
        assert_eq!(at(address), Ok(None), "nobody listens any more");
        let (address, served) = serve("HTTP/1.0 404 Not Found\r\n\r\n");
        assert_eq!(at(address), Ok(None));
        served.join().unwrap();
    }
}
