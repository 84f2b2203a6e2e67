//! What may not leave a node is blotted out of texts and of configurations. Pure.

use serde_json::Value;

/// What stands in its place.
pub const BLOT: &str = "[left-out]";
/// A field whose name ends so holds a secret, whatever weir takes it for.
const SECRETS: [&str; 12] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "credential",
    "credentials",
    "privatekey",
    "apikey",
    "accesskey",
    "authorization",
];
/// So does one whose last word is this: `dbPass`, but not `bypass`.
const SECRET_WORDS: [&str; 3] = ["pass", "pwd", "auth"];
/// What stands between `Authorization:` and the secret (RFC 9110, 11.6.2).
const SCHEMES: [&str; 4] = ["basic", "bearer", "negotiate", "token"];
/// How a JSON Web Token begins: `{"` in Base64.
const TOKEN: &str = "eyJ";
/// The shortest word that is taken for a token.
const TOKEN_LENGTH: usize = 32;

/// Blots the values of fields that are called like secrets, at any depth, and scrubs all other texts.
pub fn value(it: &mut Value) {
    match it {
        Value::Object(fields) => {
            for (name, field) in fields {
                if is_secret(name) && !field.is_null() {
                    *field = Value::String(BLOT.to_owned());
                } else {
                    value(field);
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(value),
        Value::String(words) => *words = nested(words).unwrap_or_else(|| text(words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where a text is a map or a list in JSON, the same without its secrets: a policy gets its nested
/// settings so.
fn nested(words: &str) -> Option<String> {
    let mut inner =
        serde_json::from_str(words).ok().filter(|it: &Value| it.is_object() || it.is_array())?;
    value(&mut inner);
    Some(inner.to_string())
}

fn is_secret(name: &str) -> bool {
    let last = last_word(name).to_ascii_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|it| name.ends_with(it)) || SECRET_WORDS.contains(&&*last)
}

/// `Pass` of `dbPass`, `pass` of `db-pass`, `PASS` of `DB_PASS`.
fn last_word(name: &str) -> &str {
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let mut after = None;
    for (at, c) in name.char_indices().rev() {
        let begins =
            c.is_ascii_uppercase() && after.is_some_and(|it: char| it.is_ascii_lowercase());
        if begins {
            return &name[at..];
        }
        if !c.is_ascii_alphanumeric() {
            return &name[at + c.len_utf8()..];
        }
        after = Some(c);
    }
    name
}

/// Blots tokens, what proves who asks, passwords in addresses and private keys.
#[must_use]
pub fn text(from: &str) -> String {
    let (mut clean, mut in_key) = (String::with_capacity(from.len()), false);
    for line in from.split_inclusive('\n') {
        let begins = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        if begins {
            clean.push_str(BLOT);
            clean.push('\n');
        }
        in_key |= begins;
        if !in_key {
            scrub(line, &mut clean);
        }
        in_key &= !line.contains("-----END");
    }
    clean
}

/// What the next word of a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Word,
    /// The scheme of an authorization, or the secret itself.
    Scheme,
    Secret,
}

impl Next {
    fn is_secret(self, word: &str) -> bool {
        match self {
            Self::Word => false,
            Self::Scheme => !is_scheme(word),
            Self::Secret => true,
        }
    }

    fn after(self, word: &str, edge: &str) -> Self {
        let name = word.trim_end_matches(':').to_ascii_lowercase();
        let has_value = word.ends_with(':') || matches!(edge, "\"" | "'" | "=");
        let is_field = matches!(&*name, "authorization" | "proxy-authorization");
        match self {
            Self::Scheme if is_scheme(word) => Self::Secret,
            // What it is padded with, or goes on after.
            Self::Secret if edge == "=" => Self::Secret,
            _ if name == "bearer" => Self::Secret,
            _ if is_field && has_value => Self::Scheme,
            _ => Self::Word,
        }
    }
}

fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|it| word.eq_ignore_ascii_case(it))
}

fn scrub(line: &str, clean: &mut String) {
    let mut next = Next::Word;
    // First: a password may have in it what parts words.
    let line = without_passwords(line);
    for word in line.split_inclusive(is_edge) {
        let (bare, edge) = match word.char_indices().next_back().filter(|(_, c)| is_edge(*c)) {
            Some((at, _)) => word.split_at(at),
            None => (word, ""),
        };
        let says_something = bare.contains(|c: char| !matches!(c, ':' | '{' | '[' | '\\'));
        let is_secret = says_something && next.is_secret(bare) || is_token(bare);
        clean.push_str(if is_secret { BLOT } else { bare });
        clean.push_str(edge);
        if says_something {
            next = next.after(bare, edge);
        }
    }
}

fn is_edge(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '=')
}

fn is_token(word: &str) -> bool {
    let inside = word.find(TOKEN).map_or("", |at| &word[at..]);
    inside.len() >= TOKEN_LENGTH && inside.contains('.')
}

/// Each `https://user:password@host` of a line without what is before its host (RFC 3986, 3.2).
fn without_passwords(line: &str) -> String {
    let (mut clean, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '<' | '>');
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let host = authority.rfind('@').unwrap_or(0);
        if host > 0 {
            clean.push_str(BLOT);
        }
        rest = &after[host..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::path::Path;

    use super::*;
    use crate::config::{Overrides, parse};

    const JWT: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl";

    #[test]
    fn secrets_are_blotted_and_the_rest_stays() {
        let cases = [
            ("10.0.0.1:80 -> 10.1.0.1:8080\n".to_owned(), "10.0.0.1:80 -> 10.1.0.1:8080\n"),
            (format!("token: {JWT}\nnext"), "token: [left-out]\nnext"),
            (format!("{{\"a\":\"{JWT}\"}}"), "{\"a\":\"[left-out]\"}"),
            ("Authorization: Bearer abc.def, x".to_owned(), "Authorization: Bearer [left-out], x"),
            (
                "Authorization: Basic bWU6cHc=\nnext".to_owned(),
                "Authorization: Basic [left-out]=\nnext",
            ),
            (
                "-H 'authorization: Basic bWU6cHc'".to_owned(),
                "-H 'authorization: Basic [left-out]'",
            ),
            (
                "{\"Authorization\":\"Basic bWU6cHc\"}".to_owned(),
                "{\"Authorization\":\"Basic [left-out]\"}",
            ),
            ("{\"Authorization\":[\"mine\"]}".to_owned(), "{\"Authorization\":[\"[left-out]\"]}"),
            ("Proxy-Authorization: mine, x".to_owned(), "Proxy-Authorization: [left-out], x"),
            ("authorization failed: basic rights".to_owned(), "authorization failed: basic rights"),
            (
                "at https://me:pw@host:6443/api?x=1".to_owned(),
                "at https://[left-out]@host:6443/api?x=1",
            ),
            (
                "https://a:b=c@h https://d:e,f;(g')@h:1?x http://i:j@k@l".to_owned(),
                "https://[left-out]@h https://[left-out]@h:1?x http://[left-out]@l",
            ),
            ("\"https://h\", \"me@host\"".to_owned(), "\"https://h\", \"me@host\""),
            (
                "mail me@host about https://host/a@b".to_owned(),
                "mail me@host about https://host/a@b",
            ),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb"
                    .to_owned(),
                "a\n[left-out]\nb",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nMIIE\n".to_owned(),
                "-----BEGIN CERTIFICATE-----\nMIIE\n",
            ),
            ("eyJ is no token".to_owned(), "eyJ is no token"),
        ];
        for (from, want) in cases {
            assert_eq!(text(&from), want, "{from}");
        }
    }

    #[test]
    fn fields_called_like_secrets_lose_their_values() {
        let mut it = serde_json::json!({
            "policies": [{"config": {"apiToken": "x", "db": {"PASSWORD": 7, "host": "db"}, "token": null}}],
            "client-secret": ["a"],
            "tokens": 3,
            "apiKey": "x", "API_KEY": "x", "basicAuth": {"user": "x"}, "auth": "x",
            "authorization": "x", "dbPass": "x", "DB_PASS": "x", "pass": "x", "passphrase": "x",
            "bypass": true, "author": "me", "passes": 3, "key": "zone",
        });
        value(&mut it);
        let want = serde_json::json!({
            "policies": [{"config": {"apiToken": BLOT, "db": {"PASSWORD": BLOT, "host": "db"}, "token": null}}],
            "client-secret": BLOT,
            "tokens": 3,
            "apiKey": BLOT, "API_KEY": BLOT, "basicAuth": BLOT, "auth": BLOT,
            "authorization": BLOT, "dbPass": BLOT, "DB_PASS": BLOT, "pass": BLOT, "passphrase": BLOT,
            "bypass": true, "author": "me", "passes": 3, "key": "zone",
        });
        assert_eq!(it, want);
    }

    #[test]
    fn settings_of_a_policy_lose_their_secrets_at_any_depth() {
        let text = "apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n\
                    policies: [{name: p, file: p.wasm, config: {\n\
                      db: {password: hunter2, inner: '{\"token\": \"hunter2\"}', host: db},\n\
                      dbs: [{apiKey: hunter2}], note: '[not a list'}}]\n";
        let config = parse(Path::new("weir.yaml"), text, &Overrides::default()).unwrap().0;
        let mut it = serde_json::to_value(config).unwrap();
        value(&mut it);
        let settings = &it["policies"][0]["config"];
        let want = serde_json::json!({
            "db": r#"{"host":"db","inner":"{\"token\":\"[left-out]\"}","password":"[left-out]"}"#,
            "dbs": r#"[{"apiKey":"[left-out]"}]"#,
            "note": "[not a list",
        });
        assert_eq!(settings, &want);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_no_token_gets_through(before in "\\PC*", after in "\\PC*") {
            let clean = text(&format!("{before} {JWT} {after}"));
            prop_assert!(!clean.contains(JWT), "{}", clean);
            prop_assert_eq!(text(&clean), clean);
        }
    }
}
