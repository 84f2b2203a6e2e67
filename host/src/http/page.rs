//! The status page: one file with nothing outside of it, and its data. Who gets it says `metrics.statusPage`.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_extractor;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::kept::Kept;
use super::near::Near;
use super::{FRESH, NOSNIFF};
use crate::config::StatusPage;
use crate::drive::Command;

const PAGE: &str = include_str!("page.html");
/// How old data may be.
const KEPT: Duration = Duration::from_secs(2);

/// What the page may do: run its own script and style, and ask its own address.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [style, script] = ["style", "script"].map(|name| hash(inline(PAGE, name)));
    format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    )
});

/// What stands between the tags of this name.
fn inline<'a>(page: &'a str, name: &str) -> &'a str {
    let after = page.split_once(&format!("<{name}>")).map_or("", |(_, after)| after);
    after.split_once(&format!("</{name}>")).map_or("", |(inline, _)| inline)
}

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(text)))
}

#[derive(Clone)]
struct Data {
    commands: Sender<Command>,
    kept: Arc<Kept<Bytes>>,
}

/// The page and its data, for whoever may have them.
pub(super) fn site(commands: Sender<Command>, who: StatusPage) -> Router {
    let data = Data { commands, kept: Arc::new(Kept::new(KEPT)) };
    let both = Router::new().route("/", get(page)).route("/status.json", get(status));
    match who {
        StatusPage::Off => Router::new(),
        StatusPage::Local => both.layer(from_extractor::<Near>()).with_state(data),
        StatusPage::Open => both.with_state(data),
    }
}

fn guards() -> [(HeaderName, &'static str); 4] {
    [
        (header::X_CONTENT_TYPE_OPTIONS, NOSNIFF),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ]
}

async fn page() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY.as_str())];
    (guards(), kind, policy, PAGE).into_response()
}

async fn status(State(data): State<Data>) -> Response {
    let asked = tokio::task::spawn_blocking(move || data.read()).await;
    let Ok(Some(text)) = asked else {
        let text = "the daemon is busy, starting or ending\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    (guards(), [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

impl Data {
    fn read(&self) -> Option<Bytes> {
        self.kept.get(|| {
            let (reply, answer) = mpsc::channel();
            self.commands.send(Command::Status(reply)).ok()?;
            let status = answer.recv_timeout(FRESH).ok()?;
            Some(serde_json::to_vec(&status).ok()?.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for name in ["style", "script"] {
            let parts = PAGE.matches(&format!("<{name}")).count();
            assert_eq!(parts, 1, "{name}: the policy knows one");
            assert!(inline(PAGE, name).len() > 500, "{name}");
        }
        for foreign in
            ["http:", "https:", "src=", "@import", "url(", "innerHTML", "style=", "onclick"]
        {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        // `echo -n | openssl dgst -sha256 -binary | base64`
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
