//! The status page in a real browser: what it shows, by keyboard, in the light and in the dark, under its
//! own policy. `make test` runs it, by tests/setup/browser; a plain `cargo test` may have no browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "status_page/browser.rs"]
mod browser;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use browser::Browser;
use serde_json::json;
use weir::config::Config;
use weir::drive::{Command, Shared};
use weir::http;
use weir::report::status::{Carried, Policy, ServicePort, Status, Sync, Written};

fn port(service: &str, port: &str, dataplane: &str, endpoints: usize) -> ServicePort {
    let on_ipvs = dataplane == "ipvs";
    let counted = Carried {
        connections: 18_204,
        packets_in: 912_000,
        packets_out: 811_000,
        bytes_in: 61_400_000,
        bytes_out: 1_940_000_000,
    };
    ServicePort {
        service: service.to_owned(),
        port: port.to_owned(),
        dataplane: dataplane.to_owned(),
        dataplane_by: if on_ipvs { "annotations" } else { "default" }.to_owned(),
        scheduler: if on_ipvs { "mh (mh-port)" } else { "random" }.to_owned(),
        chosen_by: if on_ipvs { "annotations" } else { "default" }.to_owned(),
        offload: if on_ipvs { "never" } else { "after 20 packets" }.to_owned(),
        offloaded_flows: if on_ipvs { None } else { Some(412) },
        traffic: on_ipvs.then_some(counted),
        endpoints,
        reasons: vec![],
    }
}

/// A node on which a bit of everything goes on.
fn status() -> Status {
    let mut services = vec![
        port("default/kubernetes", "443/tcp", "nftables", 3),
        port("kube-system/kube-dns", "53/udp", "nftables", 2),
        port("kube-system/kube-dns", "53/tcp", "nftables", 2),
        port("shop/cart", "80/tcp", "ipvs", 12),
        port("shop/checkout", "443/tcp", "ipvs", 6),
        port("shop/web", "80/tcp", "nftables", 9),
    ];
    services[4].reasons = vec![
        "offload: annotations asks for after 100 packets; set aside: IPVS offloads nothing"
            .to_owned(),
    ];
    // What policies and objects say is text, whatever it looks like.
    services[5].reasons = vec!["<img src=x onerror=alert(1)>".to_owned()];
    let failed = BTreeMap::from([("fuel".to_owned(), 3)]);
    let plan = |at: u64, lines: &[&str]| Written {
        at,
        microseconds: 2_400,
        operations: lines.len(),
        refused: 0,
        lines: lines.iter().map(ToString::to_string).collect(),
    };
    Status {
        version: "0.1.0".to_owned(),
        node: "node-1".to_owned(),
        kernel: "6.12.48".to_owned(),
        uptime_seconds: 86_520,
        synced: true,
        last_sync: Some(Sync {
            at: 1_767_323_045_250,
            microseconds: 2_400,
            services: 1,
            operations: 2,
            refused: 0,
        }),
        services,
        policies: vec![
            Policy {
                name: "annotations".to_owned(),
                digest: Some("ab".repeat(32)),
                answers: 214,
                cached: 9_120,
                ..Policy::default()
            },
            Policy {
                name: "least-busy".to_owned(),
                digest: Some("cd".repeat(32)),
                answers: 96,
                cached: 0,
                failures: 3,
                failures_by_kind: failed,
                ..Policy::default()
            },
        ],
        problems: vec!["Service shop/old: spec.ports[0].port: 70000 is no port".to_owned()],
        plans: vec![
            plan(
                1_767_323_045_250,
                &[
                    "add destination tcp 10.96.7.1:80 -> 10.244.1.9:8080 weight 1",
                    "set destination tcp 10.96.7.1:80 -> 10.244.2.4:8080 weight 0",
                ],
            ),
            plan(1_767_322_981_100, &["add virtual tcp 10.96.7.1:80 mh (mh-port)"]),
        ],
        ..Status::default()
    }
}

/// Serves the page of this status on a port of its own.
fn serve(runtime: &tokio::runtime::Runtime, status: Status) -> SocketAddr {
    let (commands, inbox) = mpsc::channel();
    std::thread::spawn(move || {
        for command in inbox {
            if let Command::Status(reply) = command {
                // The page may have gone.
                drop(reply.send(Box::new(status.clone())));
            }
        }
    });
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let site = http::metrics(Shared::new(&Config::default()), commands, &Config::default());
    runtime.block_on(http::serve("metrics", at, true, site)).unwrap();
    at
}

const ROWS: &str = "document.querySelectorAll('#service-table tbody tr').length";
const FIRST: &str = "document.querySelector('#service-table tbody th').textContent";
const FOCUS: &str = "document.activeElement.id";

#[test]
#[ignore = "needs a browser, which tests/setup/browser installs"]
fn the_page_is_read_filtered_and_sorted_by_keyboard() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at = serve(&runtime, status());
    let mut page = Browser::start();
    page.open(&format!("http://{at}/"));
    page.until(ROWS, &json!(6));
    page.until("document.getElementById('state').textContent", &json!("Up to date"));
    assert_eq!(page.value("document.title"), "weir on node-1");
    assert_eq!(page.value("document.querySelectorAll('img').length"), 0, "text stays text");
    assert_eq!(page.value("document.getElementById('troubles').hidden"), false);
    page.press("/", 191);
    assert_eq!(page.value(FOCUS), "filter");
    page.write("shop ipvs");
    page.until(ROWS, &json!(2));
    assert_eq!(page.value("document.getElementById('count').textContent"), "2 of 6 service ports");
    assert_eq!(page.value("location.hash"), "#q=shop%20ipvs");
    page.press("Escape", 27);
    page.until(ROWS, &json!(6));
    sort_and_unfold(&mut page);
    assert_eq!(page.complaints, Vec::<String>::new());
}

/// On from the filter, by the keys alone.
fn sort_and_unfold(page: &mut Browser) {
    page.press("Tab", 9);
    assert_eq!(page.value(FOCUS), "pause");
    for _ in 0..6 {
        page.press("Tab", 9);
    }
    assert_eq!(page.value(FOCUS), "sort-endpoints");
    page.press("Enter", 13);
    page.press("Enter", 13);
    page.until(FIRST, &json!("shop/cart"));
    let sorted = "document.querySelector('th[aria-sort=descending]').textContent";
    assert_eq!(page.value(sorted), "Endpoints");
    assert_eq!(page.value(FOCUS), "sort-endpoints", "it goes on from here");
    page.value("document.querySelector('details summary').focus()");
    page.press("Enter", 13);
    page.until("document.querySelector('details').open", &json!(true));
    // A refresh leaves open what was opened.
    page.value("document.getElementById('pause').click()");
    page.until("document.getElementById('state').textContent", &json!("Paused"));
    assert_eq!(page.value("document.querySelector('details').open"), true);
    assert_eq!(page.value("document.getElementById('pause').getAttribute('aria-pressed')"), "true");
}

#[test]
#[ignore = "needs a browser, which tests/setup/browser installs"]
fn a_filter_in_the_address_and_many_services_are_shown_in_part() {
    let many = (0..1000).map(|at| port(&format!("ns-{at:04}/web"), "80/tcp", "nftables", 1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at = serve(&runtime, Status { services: many.collect(), ..status() });
    let mut page = Browser::start();
    page.open(&format!("http://{at}/#q=ns-099"));
    page.until(ROWS, &json!(10));
    page.value("document.getElementById('filter').value = ''");
    page.value("document.getElementById('filter').dispatchEvent(new Event('input'))");
    page.until(ROWS, &json!(300));
    page.value("document.getElementById('all').click()");
    page.until(ROWS, &json!(1000));
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
#[ignore = "needs a browser, which tests/setup/browser installs"]
fn it_is_readable_in_the_light_and_in_the_dark() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at = serve(&runtime, status());
    let mut page = Browser::start();
    page.open(&format!("http://{at}/"));
    page.until(ROWS, &json!(6));
    let mut backs = Vec::new();
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        backs.push(page.value("getComputedStyle(document.body).backgroundColor"));
        for what in [".good", ".warn", "p", "td", "th", "summary"] {
            let ratio = page.value(&contrast(what)).as_f64().unwrap();
            // WCAG 2.2, 1.4.3: level AA for text of usual size.
            assert!(ratio >= 4.5, "{scheme} {what}: {ratio}");
        }
        if std::env::var_os("BLESS").is_some() {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
            std::fs::create_dir_all(&docs).unwrap();
            page.value("document.querySelector('details').open = true");
            page.picture(1280, &docs.join(format!("status-page-{scheme}.png")));
        }
    }
    assert_ne!(backs[0], backs[1]);
    // On a narrow screen the tables scroll, the page doesn't.
    let size = json!({ "width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": true });
    page.call("Emulation.setDeviceMetricsOverride", size);
    let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(page.value(over), 0);
    assert_eq!(page.complaints, Vec::<String>::new());
}

/// The contrast of the first element of a selector to what is behind it, by WCAG's formula.
fn contrast(selector: &str) -> String {
    let script = r#"(() => {
        const parts = (color) => color.match(/[\d.]+/g).map(Number);
        const light = (color) => {
            const [r, g, b] = parts(color).map((it) => it / 255).map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        let back = document.querySelector("SELECTOR");
        const front = light(getComputedStyle(back).color);
        while (parts(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
        const behind = light(getComputedStyle(back).backgroundColor);
        return (Math.max(front, behind) + 0.05) / (Math.min(front, behind) + 0.05);
    })()"#;
    script.replace("SELECTOR", selector)
}
