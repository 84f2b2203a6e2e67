//! Random configuration: no text makes the reader panic, and what is taken
//! and written reads back.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use weir::config::{Config, Overrides, parse, to_yaml};

fn reads(text: &str) {
    let loaded = parse(Path::new("/etc/weir/weir.yaml"), text, &Overrides::default());
    match loaded {
        Err(errors) => assert!(!errors.to_string().is_empty()),
        Ok((config, _)) => {
            let again = parse(
                Path::new("/etc/weir/weir.yaml"),
                &to_yaml(&config).unwrap(),
                &Overrides::default(),
            );
            assert_eq!(again, Ok((config, vec![])));
        }
    }
}

/// Keys of every section, some that aren't, and values of every shape.
fn document() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "ipvs",
        "scheduler",
        "policies",
        "name",
        "file",
        "fuel",
        "masquerade",
        "detectLocal",
        "clusterCIDRs",
        "clusterCIDR",
        "bridgeInterface",
        "allowedCIDRs",
        "mode",
        "logging",
        "verbosity",
        "conntrack",
        "min",
        "nftables",
        "unknown",
        "healthzBindAddress",
        "drain",
        "offload",
        "afterPackets",
        "countFlows",
        "fastpathPacketThreshold",
        "config",
        "a.b",
        "",
    ]);
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-1".to_owned()),
        Just("1e400".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("30s".to_owned()),
        Just("10.0.0.0/8".to_owned()),
        "[a-z0-9:./ -]{0,12}".prop_map(|text| format!("{text:?}")),
    ];
    let value = scalar.prop_recursive(4, 40, 5, move |inner| {
        let pair =
            (key.clone(), inner.clone()).prop_map(|(key, value)| format!("{key:?}: {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec(pair, 0..5).prop_map(|map| format!("{{{}}}", map.join(", "))),
        ]
    });
    let head = prop::sample::select(vec![
        ("weir.dev/v1alpha1", "WeirConfiguration"),
        ("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"),
    ]);
    let keys = prop::sample::subsequence(
        vec![
            "ipvs",
            "policies",
            "masquerade",
            "conntrack",
            "logging",
            "nftables",
            "mode",
            "log",
            "sync",
            "offload",
            "serviceCIDRs",
            "externalIPs",
            "detectLocal",
            "x",
        ],
        0..6,
    );
    (head, keys, prop::collection::vec(value, 6)).prop_map(|((version, kind), keys, values)| {
        let body = keys.iter().zip(values).map(|(key, value)| format!("{key}: {value}\n"));
        format!("apiVersion: {version}\nkind: {kind}\n{}", body.collect::<String>())
    })
}

/// A configuration with texts that YAML would like to read as something else.
fn config() -> impl Strategy<Value = Config> {
    let text = prop_oneof![
        prop::sample::select(vec![
            "yes", "~", "null", "1e3", "0x10", "010", "a: b", "- a", "#", "", " ", "\n", "|",
            "\u{85}x"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let settings = prop::collection::btree_map(text.clone(), text, 0..5);
    let policy = (settings, "/[a-zA-Z0-9 :#'\"-]{1,20}", any::<bool>());
    let policies = prop::collection::vec(policy, 0..4);
    (policies, any::<bool>(), 0..=1_000_000u32, 1..=1_000_000u32).prop_map(
        |(policies, flag, least, more)| {
            let mut config = Config {
                node_name: flag.then(|| "n-1.example".parse().unwrap()),
                ..Config::default()
            };
            config.offload.after_packets = weir::config::Packets::new(u64::from(more));
            if flag {
                config.service_cidrs = vec!["10.96.0.0/16".parse().unwrap()];
                config.external_ips.allowed_cidrs = Some(Vec::new());
                config.masquerade.detect_local.mode =
                    weir::config::DetectLocalMode::BridgeInterface;
                config.masquerade.detect_local.bridge_interface = Some("null".parse().unwrap());
            }
            config.ipvs.scheduler = if flag { "twos" } else { "sh" }.parse().unwrap();
            config.sync.min_sync_period = format!("{least}us").parse().unwrap();
            config.sync.sync_period = format!("{}us", least + more).parse().unwrap();
            config.policies = policies
                .into_iter()
                .enumerate()
                .map(|(index, (settings, file, _))| weir::config::Policy {
                    name: format!("p{index}").parse().unwrap(),
                    file: PathBuf::from(file),
                    config: settings.into_iter().collect(),
                })
                .collect();
            config
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        reads(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_text_panics(text in "[ -~\n]{0,200}") {
        reads(&text);
    }

    #[test]
    fn no_document_panics(text in document()) {
        reads(&text);
    }

    #[test]
    fn what_is_written_reads_back(config in config()) {
        let text = to_yaml(&config).unwrap();
        let loaded = parse(Path::new("/etc/weir/weir.yaml"), &text, &Overrides::default());
        prop_assert_eq!(loaded, Ok((config, vec![])), "{}", text);
    }
}
