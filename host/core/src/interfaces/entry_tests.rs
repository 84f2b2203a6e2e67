use proptest::prelude::*;

use super::*;

fn entry(text: &str) -> Entry {
    text.parse().unwrap()
}

#[test]
fn entries_are_told_apart_by_how_they_are_written() {
    assert!(matches!(entry("eth0"), Entry::Name(_)));
    assert!(matches!(entry("eth*"), Entry::Glob(_)));
    assert!(matches!(entry("eth?"), Entry::Glob(_)));
    assert!(matches!(entry("group:uplink"), Entry::Group(_)));
    assert!(matches!(entry("group"), Entry::Name(_)), "a name may be any word");
}

#[test]
fn what_is_no_entry_says_why() {
    let name = "names no interface: 1 to 15 bytes of UTF-8, no white space, no '/' or ':', not '.' or '..'";
    let glob =
        "matches no interface's name: at most 15 bytes beside '*', no white space, no '/' or ':'";
    let cases = [
        ("", format!("\"\" {name}")),
        ("eth 0", format!("\"eth 0\" {name}")),
        ("a-name-of-16-byt", format!("\"a-name-of-16-byt\" {name}")),
        ("eth/*", format!("\"eth/*\" {glob}")),
        ("a-name-of-16-byt*", format!("\"a-name-of-16-byt*\" {glob}")),
        ("groups:*", format!("\"groups:*\" {glob}")),
        ("group:", "group:\"\" names no group: 1 to 63 letters, digits, '-', '_' and '.'".into()),
        (
            "group:a*",
            "group:\"a*\" names no group: 1 to 63 letters, digits, '-', '_' and '.'".into(),
        ),
    ];
    for (text, want) in cases {
        assert_eq!(text.parse::<Entry>().unwrap_err().to_string(), want);
    }
}

#[test]
fn globs() {
    let cases = [
        ("*", "eth0", true),
        ("eth*", "eth0", true),
        ("eth*", "eth", true),
        ("eth*", "veth0", false),
        ("*eth*", "veth0", true),
        ("eth?", "eth0", true),
        ("eth?", "eth", false),
        ("eth?", "eth10", false),
        ("e*0", "eth0", true),
        ("e*0", "eth01", false),
        ("*0*1", "a0b0c1", true),
        ("*.100", "eth0.100", true),
        ("?", "ü", true),
        ("ETH*", "eth0", false),
        ("[e]*", "eth0", false),
    ];
    for (glob, name, want) in cases {
        assert_eq!(Glob::parse(glob).unwrap().matches(name), want, "{glob} on {name}");
    }
}

#[test]
fn globs_that_match_the_same_are_the_same() {
    for (text, want) in [("**", "*"), ("*?", "?*"), ("a*?*?b**", "a??*b*"), ("?*", "?*")] {
        assert_eq!(Glob::parse(text).unwrap().to_string(), want, "{text}");
    }
    assert_eq!(entry("eth**"), entry("eth*"));
    assert!(entry("***").is_all() && !entry("?*").is_all());
}

/// By the book, and exponential.
fn by_the_book(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|at| by_the_book(rest, &name[at..])),
        ['?', rest @ ..] => !name.is_empty() && by_the_book(rest, &name[1..]),
        [c, rest @ ..] => name.first() == Some(c) && by_the_book(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn a_glob_matches_as_by_the_book(glob in "[ab*?ü]{1,9}", name in "[abü]{0,7}") {
        let Ok(parsed) = Glob::parse(&glob) else { return Ok(()) };
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(parsed.matches(&name), by_the_book(&chars(&glob), &chars(&name)));
    }

    #[test]
    fn an_entry_reads_back_as_it_prints(text in "(group:)?[a-z*?.:/ -]{0,18}") {
        if let Ok(read) = text.parse::<Entry>() {
            prop_assert_eq!(read.to_string().parse::<Entry>().unwrap(), read);
        }
    }

    #[test]
    fn whatever_is_written_never_panics(text: String, name: String) {
        if let Ok(Entry::Glob(glob)) = text.parse::<Entry>() {
            let _ = glob.matches(&name);
            prop_assert!(glob.to_string().len() <= 2 * MAX_NAME + 1);
        }
    }

    /// The worst that can be written: a recursive matcher would not come back.
    #[test]
    fn many_stars_cost_little(stars in 1usize..15) {
        let glob = Glob::parse(&format!("{}b", "a*".repeat(stars.min(7)))).unwrap();
        prop_assert!(!glob.matches(&"a".repeat(15)));
    }
}
