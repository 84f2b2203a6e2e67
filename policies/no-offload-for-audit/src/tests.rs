use super::*;
use weir_policy::testing::{View, node};

fn configured(config: &Config) -> Result<NoOffloadForAudit, String> {
    NoOffloadForAudit::configure(config, &node())
}

fn decide(config: &Config, view: View) -> Result<Decision, Refusal> {
    configured(config).unwrap().decide(&view.build())
}

fn never(why: &str) -> Result<Decision, Refusal> {
    Ok(Decision::new().never_offload().note(format!("every packet is to be seen: {why}")))
}

fn web() -> View {
    View::new("bank/web")
}

#[test]
fn the_service_or_its_namespace_asks_by_label_or_annotation() {
    let key = "weir.dev/audit";
    let cases = [
        (web().label(key, "true"), "label weir.dev/audit=true of the Service"),
        (web().annotation(key, "true"), "annotation weir.dev/audit=true of the Service"),
        (web().namespace_label(key, "true"), "label weir.dev/audit=true of the Namespace"),
        (
            web().namespace_annotation(key, "true"),
            "annotation weir.dev/audit=true of the Namespace",
        ),
        (
            web().namespace_label(key, "true").label(key, "false"),
            "label weir.dev/audit=true of the Namespace",
        ),
    ];
    for (view, why) in cases {
        assert_eq!(decide(&Config::default(), view), never(why));
    }
    for view in [web(), web().label(key, "false"), web().label("audit", "true")] {
        assert_eq!(decide(&Config::default(), view), Err(Refusal::NotMine));
    }
}

#[test]
fn the_operator_names_labels_and_annotations_of_his_own() {
    let config = Config::from([
        ("labels", "[\"tier=pci\",\"kubernetes.io/metadata.name=ledger\",\"empty=\"]"),
        ("annotations", "example.org/rate-limit, log=a=b"),
    ]);
    let cases = [
        (web().label("tier", "pci"), never("label tier=pci of the Service")),
        (web().label("tier", "web"), Err(Refusal::NotMine)),
        (web().annotation("tier", "pci"), Err(Refusal::NotMine)),
        (web().label("empty", ""), never("label empty= of the Service")),
        (
            View::new("ledger/web"),
            never("label kubernetes.io/metadata.name=ledger of the Namespace"),
        ),
        (
            web().annotation("example.org/rate-limit", "50"),
            never("annotation example.org/rate-limit of the Service"),
        ),
        (web().namespace_annotation("log", "a=b"), never("annotation log=a=b of the Namespace")),
        (web().label("weir.dev/audit", "true"), Err(Refusal::NotMine)),
    ];
    for (view, want) in cases {
        assert_eq!(decide(&config, view), want);
    }
}

#[test]
fn labels_alone_leave_annotations_alone() {
    let config = Config::from([("labels", "audit")]);
    assert_eq!(decide(&config, web().label("audit", "")), never("label audit of the Service"));
    let annotated = web().annotation("audit", "").annotation("weir.dev/audit", "true");
    assert_eq!(decide(&config, annotated), Err(Refusal::NotMine));
}

#[test]
fn bad_settings_are_refused_by_name() {
    let long = "k".repeat(64);
    let cases = [
        ("labels", "audit==true", "labels: \"audit==true\" is not a selector: write KEY=VALUE"),
        ("labels", "audit!=true", "labels: \"audit!=true\" is not a selector"),
        ("labels", "a in (b)", "labels: \"a in (b)\" is not a selector"),
        ("annotations", "=true", "annotations: \"=true\" is not a selector"),
        ("annotations", "a/b/c=1", "annotations: \"a/b/c=1\" is not a selector"),
        ("annotations", "/a", "annotations: \"/a\" is not a selector"),
        ("labels", "-a=1", "labels: \"-a=1\" is not a selector"),
        ("labels", &long, "labels: \"kkk"),
        ("labels", "", "labels and annotations: no selector in them"),
        ("labels", "{\"audit\":\"true\"}", "is not a list of texts"),
        ("label", "a=1", "unknown name label: known are labels, annotations"),
    ];
    for (name, value, want) in cases {
        let error = configured(&Config::from([(name, value)])).err().unwrap();
        assert!(error.contains(want), "{name}={value}: {error}");
    }
}
