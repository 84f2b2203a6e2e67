//! What may not leave a node is blotted out of texts and of configurations. Pure.

use serde_json::Value;

/// What stands in its place.
pub const BLOT: &str = "[left-out]";
/// A field whose name ends so holds a secret, whatever weir takes it for.
const SECRETS: [&str; 7] =
    ["token", "password", "passwd", "secret", "credential", "credentials", "privatekey"];
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
        Value::String(words) => *words = text(words),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|it| name.ends_with(it))
}

/// Blots tokens, passwords in addresses and private keys.
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

fn scrub(line: &str, clean: &mut String) {
    let mut after_bearer = false;
    for word in line.split_inclusive(is_edge) {
        let (bare, edge) = match word.char_indices().next_back().filter(|(_, c)| is_edge(*c)) {
            Some((at, _)) => word.split_at(at),
            None => (word, ""),
        };
        let token = after_bearer && !bare.is_empty() || is_token(bare);
        clean.push_str(&if token { BLOT.to_owned() } else { without_password(bare) });
        clean.push_str(edge);
        after_bearer = bare.eq_ignore_ascii_case("bearer") || after_bearer && bare.is_empty();
    }
}

fn is_edge(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '=')
}

fn is_token(word: &str) -> bool {
    let inside = word.find(TOKEN).map_or("", |at| &word[at..]);
    inside.len() >= TOKEN_LENGTH && inside.contains('.')
}

/// `https://user:password@host` without what is before the host.
fn without_password(word: &str) -> String {
    let parts = word.split_once("://").and_then(|(scheme, rest)| {
        let host_ends = rest.find('/').unwrap_or(rest.len());
        let at = rest[..host_ends].rfind('@')?;
        Some(format!("{scheme}://{BLOT}{}", &rest[at..]))
    });
    parts.unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl";

    #[test]
    fn secrets_are_blotted_and_the_rest_stays() {
        let cases = [
            ("10.0.0.1:80 -> 10.1.0.1:8080\n".to_owned(), "10.0.0.1:80 -> 10.1.0.1:8080\n"),
            (format!("token: {JWT}\nnext"), "token: [left-out]\nnext"),
            (format!("{{\"a\":\"{JWT}\"}}"), "{\"a\":\"[left-out]\"}"),
            ("Authorization: Bearer abc.def, x".to_owned(), "Authorization: Bearer [left-out], x"),
            (
                "at https://me:pw@host:6443/api?x=1".to_owned(),
                "at https://[left-out]@host:6443/api?x=1",
            ),
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
        });
        value(&mut it);
        let want = serde_json::json!({
            "policies": [{"config": {"apiToken": BLOT, "db": {"PASSWORD": BLOT, "host": "db"}, "token": null}}],
            "client-secret": BLOT,
            "tokens": 3,
        });
        assert_eq!(it, want);
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
