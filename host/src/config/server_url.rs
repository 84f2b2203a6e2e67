//! The URL of an API server. Pure.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Uri;

use super::text::{NotAllowed, written_as_text};

/// The base URL of an API server, over which nobody on the way can read a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(Uri);

written_as_text!(
    ServerUrl,
    "the URL of an API server such as `https://10.0.0.1:6443`, without user and password; `http` only \
     on a loopback address"
);

impl ServerUrl {
    /// The URL.
    #[must_use]
    pub fn get(&self) -> &Uri {
        &self.0
    }

    fn is_private(uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback =
            host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        match uri.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_loopback,
            _ => false,
        }
    }
}

impl FromStr for ServerUrl {
    type Err = NotAllowed;

    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        let uri = text.parse().ok().filter(|uri: &Uri| {
            // What is before an @ would be shown wherever the server is named.
            let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
            Self::is_private(uri) && !has_user && uri.query().is_none()
        });
        uri.map(Self).ok_or_else(|| NotAllowed::new(&without_user(text), Self::ALLOWED))
    }
}

/// An error is for logs, and a password isn't.
fn without_user(text: &str) -> Cow<'_, str> {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 < at => {
            format!("{}…{}", &text[..scheme + 3], &text[at..]).into()
        }
        _ => text.into(),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path of nothing but the root is nobody's wish to see.
        let text = self.0.to_string();
        f.write_str(if self.0.path() == "/" { text.trim_end_matches('/') } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_keeps_a_token_secret_is_taken() {
        let good = [
            "https://10.0.0.1:6443",
            "https://[fd00::1]",
            "https://api.example/prefix",
            "http://127.0.0.1:8001",
            "http://[::1]:8001",
            "http://localhost:8001",
        ];
        for text in good {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), text);
        }
        let bad = [
            "",
            "10.0.0.1:6443",
            "http://10.0.0.1",
            "https://",
            "ftp://a",
            "https://a?b",
            "/a",
            "https://me:secret@10.0.0.1",
            "https://me@10.0.0.1",
        ];
        for text in bad {
            let error = text.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
