//! Whom weir asks as, in the words in which API servers and their roles name it. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::access::Credentials;

/// The longest name that is told.
const LONGEST: usize = 512;

/// What weir reads of a JSON Web Token (RFC 7519).
#[derive(Deserialize)]
struct Claims {
    sub: String,
}

/// Whose token this is: `system:serviceaccount:NAMESPACE:NAME` for a ServiceAccount's.
///
/// Nothing of it is verified, which is the server's business: it is told and decides nothing.
pub(super) fn subject(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { sub } = serde_json::from_slice(&claims).ok()?;
    let is_name = !sub.is_empty() && sub.len() <= LONGEST && !sub.contains(char::is_control);
    is_name.then_some(sub)
}

/// The name, as far as it is known, and the file that it comes from.
pub(super) fn words(credentials: &Credentials, name: Option<String>) -> String {
    match (credentials, name) {
        (Credentials::ServiceAccount(folder), Some(name)) => {
            format!("{name} (by {})", folder.join("token").display())
        }
        (Credentials::Kubeconfig(file), Some(name)) => {
            format!("user {name} of kubeconfig {}", file.display())
        }
        (_, None) => credentials.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(claims: &str) -> String {
        format!("eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_whose_it_is() {
        let name = "system:serviceaccount:weir-system:weir";
        let claims = format!("{{\"iss\": \"https://kubernetes\", \"sub\": \"{name}\"}}");
        let cases = [
            (token(&claims), Some(name)),
            (token("{\"sub\": \"\"}"), None),
            (token("{\"sub\": \"a\\nb\"}"), None),
            (token(&format!("{{\"sub\": \"{}\"}}", "a".repeat(600))), None),
            (token("{\"sub\": 7}"), None),
            (token("{}"), None),
            ("secret".to_owned(), None),
            ("a.b.c".to_owned(), None),
            (String::new(), None),
        ];
        for (token, want) in cases {
            assert_eq!(subject(&token).as_deref(), want, "{token}");
        }
    }

    #[test]
    fn the_name_stands_with_the_file_it_comes_from() {
        let account = Credentials::ServiceAccount("/a".into());
        let kubeconfig = Credentials::Kubeconfig("/k".into());
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(
            words(&account, some("system:serviceaccount:a:b")),
            "system:serviceaccount:a:b (by /a/token)"
        );
        assert_eq!(words(&account, None), "the ServiceAccount of /a/token");
        assert_eq!(words(&kubeconfig, some("weir")), "user weir of kubeconfig /k");
        assert_eq!(words(&kubeconfig, None), "the user of kubeconfig /k");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_for_a_token(text in "\\PC*") {
            subject(&text);
            subject(&token(&text));
        }
    }
}
