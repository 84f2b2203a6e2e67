//! What `metrics.profiling` opens: a CPU profile, and the log's level as kube-proxy's clients set it.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};

use super::near::Near;
use crate::config::LogLevel;
use crate::log;
use crate::report::profile::{self, NoProfile};

/// The longest profile.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// A profile's time where none is named, as in Go.
const USUAL: Duration = Duration::from_secs(30);
/// The longest number that is read, in bytes.
const NUMBER: usize = 16;

/// Both; without them they aren't there.
pub(super) fn site() -> Router {
    let level = put(set_level).layer(DefaultBodyLimit::max(NUMBER));
    Router::new().route("/debug/pprof/profile", get(take_profile)).route("/debug/flags/v", level)
}

async fn take_profile(uri: Uri) -> Response {
    let time = match seconds(uri.query().unwrap_or_default()) {
        Ok(time) => time,
        Err(text) => return (StatusCode::BAD_REQUEST, text).into_response(),
    };
    match profile::take(time).await {
        Ok(profile) => {
            let kind = (header::CONTENT_TYPE, "application/octet-stream");
            let name = (header::CONTENT_DISPOSITION, "attachment; filename=\"profile\"");
            ([kind, name], profile).into_response()
        }
        Err(error) => {
            let status = match error {
                NoProfile::Busy => StatusCode::CONFLICT,
                NoProfile::Unsafe => StatusCode::NOT_IMPLEMENTED,
                NoProfile::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, format!("{error}\n")).into_response()
        }
    }
}

/// `seconds=5` of a query.
fn seconds(query: &str) -> Result<Duration, String> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("seconds=")) else {
        return Ok(USUAL);
    };
    let allowed = 1..=LONGEST.as_secs();
    let seconds = text.parse().ok().filter(|seconds| allowed.contains(seconds));
    let told = || format!("seconds: expected a whole number from 1 to {}\n", LONGEST.as_secs());
    seconds.map(Duration::from_secs).ok_or_else(told)
}

/// klog's verbosity, for tools that know kube-proxy. Only the node itself may: a level drowns or
/// silences a log.
async fn set_level(_: Near, body: String) -> Response {
    let Ok(verbosity) = body.trim().parse::<u64>() else {
        let text = "expected a whole number, klog's verbosity\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let level = LogLevel::of_verbosity(verbosity);
    match log::set_level(level) {
        Ok(()) => {
            format!("log level {} for verbosity {verbosity}\n", level.as_str()).into_response()
        }
        Err(error) => (StatusCode::CONFLICT, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_s_time_is_bounded() {
        let cases = [
            ("", Ok(30)),
            ("debug=1", Ok(30)),
            ("seconds=1", Ok(1)),
            ("debug=1&seconds=60", Ok(60)),
            ("seconds=0", Err(())),
            ("seconds=61", Err(())),
            ("seconds=-1", Err(())),
            ("seconds=", Err(())),
        ];
        for (query, want) in cases {
            let got = seconds(query).map(|it| it.as_secs()).map_err(drop);
            assert_eq!(got, want, "{query}");
        }
    }
}
