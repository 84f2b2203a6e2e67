//! Reads this machine's apt sources, to learn which mirror serves Debian here.
//!
//! Pure but for [`Mirrors::of_this_machine`]. Both formats of sources.list(5).

use std::{fs, path::Path};

use crate::error::{Error, Result};

const RELEASES: [&str; 5] = ["bookworm", "trixie", "forky", "stable", "testing"];

/// One archive with the suites taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) uri: String,
    pub(crate) suites: Vec<String>,
    pub(crate) components: Vec<String>,
    pub(crate) signed_by: String,
}

/// The two archives that Debian's suites live in, without a final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// Releases, updates and backports.
    pub main: String,
    /// `*-security`.
    pub security: String,
}

impl Mirrors {
    /// Those named by WEIR_MIRROR and WEIR_SECURITY_MIRROR, else by the apt sources.
    pub fn of_this_machine() -> Result<Self> {
        let named = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
        if let Some(main) = named("WEIR_MIRROR") {
            let security = named("WEIR_SECURITY_MIRROR").unwrap_or_else(|| beside(&main));
            return Ok(Self { main, security });
        }
        Self::pick(&read_all(Path::new("/etc/apt"))).ok_or(Error::NoMirror)
    }

    /// Third parties name Debian's suites too: the archive's keyring and "debian" in the address
    /// tell Debian's own mirror from theirs; the earliest of the best is taken.
    pub(crate) fn pick(sources: &[Source]) -> Option<Self> {
        let best = |suffix: &str| {
            let mut found: Option<(u8, &Source)> = None;
            for source in sources.iter().filter(|source| source.serves(suffix)) {
                if found.is_none_or(|(likeness, _)| source.likeness() > likeness) {
                    found = Some((source.likeness(), source));
                }
            }
            found.map(|(_, source)| source.uri.trim_end_matches('/').to_owned())
        };
        let main = best("").or_else(|| best("-updates")).or_else(|| best("-backports"))?;
        let security = best("-security").unwrap_or_else(|| beside(&main));
        Some(Self { main, security })
    }

    /// The archive that holds `suite`.
    pub(crate) fn of(&self, suite: &str) -> &str {
        if suite.ends_with("-security") { &self.security } else { &self.main }
    }
}

impl Source {
    fn serves(&self, suffix: &str) -> bool {
        let ours = |suite: &String| {
            suite.strip_suffix(suffix).is_some_and(|release| RELEASES.contains(&release))
        };
        self.components.iter().any(|component| component == "main") && self.suites.iter().any(ours)
    }

    fn likeness(&self) -> u8 {
        2 * u8::from(self.signed_by.contains("debian-archive"))
            + u8::from(self.uri.contains("debian"))
    }
}

/// Where Debian's mirrors keep the security archive: beside the main one.
fn beside(main: &str) -> String {
    format!("{}-security", main.trim_end_matches('/'))
}

fn read_all(apt: &Path) -> Vec<Source> {
    let mut files = vec![apt.join("sources.list")];
    if let Ok(folder) = fs::read_dir(apt.join("sources.list.d")) {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter_map(|path| Some((path.extension()?.to_str()?, fs::read_to_string(path).ok()?)))
        .flat_map(|(extension, text)| match extension {
            "list" => parse_lines(&text),
            "sources" => parse_deb822(&text),
            _ => Vec::new(),
        })
        .collect()
}

/// `deb [signed-by=KEY] URI SUITE COMPONENT…`, one a line.
pub(crate) fn parse_lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    rest = rest.trim_start();
    let mut signed_by = String::new();
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .unwrap_or_default()
            .to_owned();
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uri, suites: vec![suite], components: words.collect(), signed_by })
}

/// Stanzas of `Field: value`, with continuation lines; `Enabled: no` and source-only ones are left out.
pub(crate) fn parse_deb822(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let words = |name: &str| -> Vec<String> {
        let value = fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = ["no", "false", "without", "off", "disable"];
    let enabled = !words("enabled").first().is_some_and(|word| off.contains(&word.as_str()));
    if !enabled || !words("types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let (suites, components, signed_by) =
        (words("suites"), words("components"), words("signed-by").join(" "));
    let source = |uri| Source {
        uri,
        suites: suites.clone(),
        components: components.clone(),
        signed_by: signed_by.clone(),
    };
    words("uris").into_iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_name_the_same_mirrors() {
        let one_line = "deb http://a.example/debian bookworm main contrib # comment\n\
             deb-src http://src.example/debian bookworm main\n\
             # deb http://old.example/debian bookworm main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://s.example/debian-security/ bookworm-security main\n";
        let deb822 = "# a comment\nTypes: deb deb-src\nURIs: http://a.example/debian/\nSuites: bookworm\n  bookworm-updates\n\
             Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n";
        let want = Mirrors {
            main: "http://a.example/debian".into(),
            security: "http://s.example/debian-security".into(),
        };
        assert_eq!(Mirrors::pick(&parse_lines(one_line)), Some(want.clone()));
        assert_eq!(Mirrors::pick(&parse_deb822(deb822)), Some(want));
    }

    #[test]
    fn a_third_party_with_debian_suites_is_not_taken_for_debian() {
        let text = "deb https://vendor.example bookworm main\n\
             deb https://docker.example/linux/debian bookworm stable\n\
             deb https://pg.example/apt bookworm-pgdg main\n\
             deb mirror+file:///etc/apt/mirrors/debian.list bookworm main\n";
        let mirrors = Mirrors::pick(&parse_lines(text)).unwrap();
        assert_eq!(mirrors.main, "mirror+file:///etc/apt/mirrors/debian.list");
    }

    #[test]
    fn security_stands_beside_main_when_unnamed_and_nothing_gives_nothing() {
        let mirrors =
            Mirrors::pick(&parse_lines("deb http://a.example/debian/ trixie main")).unwrap();
        assert_eq!(mirrors.of("trixie-security"), "http://a.example/debian-security");
        assert_eq!(mirrors.of("trixie-backports"), "http://a.example/debian");
        assert_eq!(Mirrors::pick(&parse_lines("deb http://u.example/ubuntu noble main")), None);
    }

    proptest! {
        #[test]
        fn any_text_parses_without_a_panic(text in "(?s).{0,200}") {
            parse_lines(&text);
            parse_deb822(&text);
        }
    }
}
