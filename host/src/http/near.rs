//! Who asks: the node itself over loopback, or anybody. Pure but for a socket's own addresses.
//!
//! Loopback is what `kubectl port-forward` and a tunnel by SSH end in. A page of another site that a
//! browser on the way has open gets there as well, under a name of its own: such names are refused.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use tokio::net::TcpStream;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
}

impl Caller {
    /// Of a connection that was let in.
    pub(super) fn of(stream: &TcpStream) -> Self {
        // A connection that is gone already has no ends, and comes from nowhere near.
        Self { from: stream.peer_addr().ok(), to: stream.local_addr().ok() }
    }

    fn is_near(self) -> bool {
        let loopback =
            |end: Option<SocketAddr>| end.is_some_and(|end| end.ip().to_canonical().is_loopback());
        loopback(self.from) && loopback(self.to)
    }
}

/// A request of the node itself. Others are refused.
pub(super) struct Near;

impl<S: Sync> FromRequestParts<S> for Near {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let caller = parts.extensions.get::<Caller>();
        if !caller.is_some_and(|caller| caller.is_near()) {
            return Err((StatusCode::FORBIDDEN, "only over the node's loopback\n"));
        }
        if !has_own_name(&parts.headers) {
            return Err((StatusCode::FORBIDDEN, "only under an IP address or localhost\n"));
        }
        Ok(Self)
    }
}

/// Whether the request names no host, an address, or `localhost`: what another site's name can't be.
fn has_own_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_loopback_at_both_ends() {
        let cases = [
            ("127.0.0.1:5", "127.0.0.1:10249", true),
            ("[::1]:5", "[::1]:10249", true),
            ("[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:10249", true),
            ("192.0.2.7:5", "192.0.2.7:10249", false),
            ("10.1.0.5:5", "192.0.2.7:10249", false),
            // With route_localnet a packet for loopback may come from elsewhere.
            ("10.1.0.5:5", "127.0.0.1:10249", false),
            ("127.0.0.1:5", "192.0.2.7:10249", false),
        ];
        for (from, to, want) in cases {
            let ends = [from, to].map(|end| Some(end.parse().unwrap()));
            let [from_end, to_end] = ends;
            assert_eq!(Caller { from: from_end, to: to_end }.is_near(), want, "{from} {to}");
        }
        assert!(!Caller { from: None, to: None }.is_near());
    }

    #[test]
    fn names_of_other_sites_are_refused() {
        let cases = [
            (None, true),
            (Some("localhost:10249"), true),
            (Some("LOCALHOST"), true),
            (Some("127.0.0.1:10249"), true),
            (Some("[::1]:10249"), true),
            (Some("rebound.example:10249"), false),
            (Some("localhost.example"), false),
            (Some("a b"), false),
            (Some(""), false),
        ];
        for (host, want) in cases {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().unwrap());
            }
            assert_eq!(has_own_name(&headers), want, "{host:?}");
        }
    }
}
