use super::*;
use weir_policy::testing::{View, node, take_counts};

fn configured(config: &Config) -> Result<NamespaceThresholds, String> {
    NamespaceThresholds::configure(config, &node())
}

fn decide(config: &Config, view: View) -> Result<Decision, Refusal> {
    configured(config).unwrap().decide(&view.build())
}

/// `shop` after 100, `batch` never, all others after 30.
fn table() -> Config {
    Config::from([("shop", "100"), ("batch", "never"), ("*", "30")])
}

fn view(name: &str, service: Option<&str>, namespace: Option<&str>) -> View {
    let mut view = View::new(name);
    if let Some(text) = service {
        view = view.annotation(OFFLOAD_AFTER_PACKETS, text);
    }
    if let Some(text) = namespace {
        view = view.namespace_annotation(OFFLOAD_AFTER_PACKETS, text);
    }
    view
}

#[test]
fn the_service_beats_its_namespace_and_that_the_table() {
    let new = Decision::new;
    let cases = [
        ("shop/web", None, None, new().offload_after(100)),
        ("batch/job", None, None, new().never_offload()),
        ("blog/web", None, None, new().offload_after(30)),
        ("shop/web", None, Some("7"), new().offload_after(7)),
        ("shop/web", None, Some(" never "), new().never_offload()),
        ("shop/web", Some("3"), Some("7"), new().offload_after(3)),
        ("shop/web", Some("never"), Some("7"), new().never_offload()),
        ("batch/job", Some("4294967295"), None, new().offload_after(u32::MAX)),
    ];
    for (name, service, namespace, want) in cases {
        let got = decide(&table(), view(name, service, namespace));
        assert_eq!(got, Ok(want), "{name} {service:?} {namespace:?}");
    }
}

#[test]
fn without_the_default_others_are_left_to_the_next_policy() {
    let config = Config::from([("shop", "100")]);
    assert_eq!(decide(&config, view("blog/web", None, None)), Err(Refusal::NotMine));
    let annotated = view("blog/web", Some("9"), None);
    assert_eq!(decide(&config, annotated), Ok(Decision::new().offload_after(9)));
    let nothing = Config::default();
    assert_eq!(decide(&nothing, view("shop/web", None, None)), Err(Refusal::NotMine));
}

#[test]
fn what_an_annotation_asks_for_is_kept_within_the_bounds() {
    let after = Offload::After;
    let (never, bounds) = (Offload::Never, [(".min", "10"), (".max", "1000")]);
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, Offload, Option<&'a str>);
    let cases: [Case<'_>; 12] = [
        (&bounds, "10", after(10), None),
        (&bounds, "1000", after(1000), None),
        (&bounds, "9", after(10), Some("9 is beyond .min of this policy: 10")),
        (&bounds, "1001", after(1000), Some("1001 is beyond .max of this policy: 1000")),
        (&bounds, "never", after(1000), Some("never is beyond .max of this policy: 1000")),
        (&bounds[..1], "never", never, None),
        (&bounds[1..], "1", after(1), None),
        (&[(".min", "never")], "5", never, Some("5 is beyond .min of this policy: never")),
        (&[(".min", "never")], "never", never, None),
        (&[(".max", "never")], "never", never, None),
        (
            &[(".min", "5"), (".max", "5")],
            "6",
            after(5),
            Some("6 is beyond .max of this policy: 5"),
        ),
        (&[], "1", after(1), None),
    ];
    for (settings, text, want, note) in cases {
        for (service, namespace) in [(Some(text), None), (None, Some(text))] {
            let config = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            let config = Config::from_iter(config);
            let got = decide(&config, view("shop/web", service, namespace)).unwrap();
            assert_eq!(got.offload, Some(want), "{settings:?} {text}");
            let whose = if service.is_some() { "Service" } else { "Namespace" };
            let note = note.map(|note| format!("{OFFLOAD_AFTER_PACKETS} of the {whose}: {note}"));
            assert_eq!(got.note, note, "{settings:?} {text}");
            assert_eq!(take_counts().contains_key("bounded"), note.is_some(), "{text}");
        }
    }
}

#[test]
fn the_operator_s_own_table_has_no_bounds() {
    let config = Config::from([("shop", "5"), ("*", "never"), (".min", "10"), (".max", "100")]);
    let decided = |name| decide(&config, view(name, None, None));
    assert_eq!(decided("shop/web"), Ok(Decision::new().offload_after(5)));
    assert_eq!(decided("blog/web"), Ok(Decision::new().never_offload()));
}

#[test]
fn a_bad_annotation_is_named_and_the_next_source_counts() {
    let words = |whose: &str, text: &str| {
        format!(
            "{OFFLOAD_AFTER_PACKETS} of the {whose}: {text:?}: not `never` or a number from 1 to \
             4294967295"
        )
    };
    let bad_service = view("shop/web", Some("0"), Some("7"));
    let want = Decision::new().offload_after(7).note(words("Service", "0"));
    assert_eq!(decide(&table(), bad_service), Ok(want));
    let both_bad = view("shop/web", Some("-1"), Some("many"));
    let both = format!("{}; {}", words("Service", "-1"), words("Namespace", "many"));
    let want = Decision::new().offload_after(100).note(both.clone());
    assert_eq!(decide(&table(), both_bad.clone()), Ok(want));
    assert_eq!(decide(&Config::default(), both_bad), Err(Refusal::Reason(both)));
    let long = view("shop/web", Some(&"9".repeat(256 << 10)), None);
    assert!(decide(&table(), long).unwrap().note.unwrap().len() < 512);
}

#[test]
fn bad_settings_are_refused_by_name() {
    let cases = [
        ("shop", "0", "shop: \"0\": not `never` or a number from 1"),
        ("shop", "-3", "shop: \"-3\": not"),
        ("shop", "4294967296", "to 4294967295"),
        ("shop", "1.5", "shop: \"1.5\": not"),
        ("shop", "null", "shop: \"null\": not"),
        ("*", "", "*: \"\": not"),
        (".max", "no", ".max: \"no\": not"),
        ("Shop", "1", "\"Shop\": write the name of a Namespace"),
        ("shop/web", "1", "\"shop/web\": write"),
        (".mx", "1", "`*` for all others, `.min` or `.max`"),
        ("-a", "1", "\"-a\": write"),
        ("", "1", "\"\": write"),
    ];
    for (name, value, want) in cases {
        let error = configured(&Config::from([(name, value)])).err().unwrap();
        assert!(error.contains(want), "{name}={value}: {error}");
    }
    let crossed = |least, most| configured(&Config::from([(".min", least), (".max", most)])).err();
    assert_eq!(crossed("9", "8").unwrap(), ".min is 9, more than .max, 8");
    assert_eq!(crossed("never", "8").unwrap(), ".min is never, more than .max, 8");
    assert_eq!(crossed("8", "8"), None);
    assert_eq!(crossed("8", "never"), None);
}
