//! Reads a JSON list of texts: what a YAML list in a policy's configuration arrives as.

use std::str::Chars;

/// The elements of `["a", "b"]`; a number or a truth value counts as its text. `None` where it is
/// something else, or has a list, a map or null in it.
pub(crate) fn texts(json: &str) -> Option<Vec<String>> {
    let mut rest = json.trim().strip_prefix('[')?.trim_start();
    let mut texts = Vec::new();
    if rest == "]" {
        return Some(texts);
    }
    loop {
        let (text, behind) = element(rest)?;
        texts.push(text);
        let behind = behind.trim_start();
        match behind.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return (behind == "]").then_some(texts),
        }
    }
}

/// The first element, and what is behind it.
fn element(json: &str) -> Option<(String, &str)> {
    if let Some(rest) = json.strip_prefix('"') {
        return text(rest.chars());
    }
    let (word, behind) = json.split_at(json.find([',', ']'])?);
    let word = word.trim_end();
    // Reading floating point would add 20 KB to every component.
    let number = word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    (number || matches!(word, "true" | "false")).then(|| (word.to_owned(), behind))
}

/// A text behind its first quotation mark.
fn text(mut rest: Chars<'_>) -> Option<(String, &str)> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some((text, rest.as_str())),
            '\\' => text.push(escaped(&mut rest)?),
            plain => text.push(plain),
        }
    }
}

fn escaped(rest: &mut Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let digits = rest.as_str().get(..4)?;
            *rest = rest.as_str()[4..].chars();
            // The host escapes control characters so, nothing that would take two.
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
        }
        same @ ('"' | '\\' | '/') => same,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn lists_of_texts_are_read() {
        let cases: [(&str, &[&str]); 6] = [
            ("[]", &[]),
            (" [ ] ", &[]),
            (r#"["eth0"]"#, &["eth0"]),
            (r#"["group:uplink", "eth*" ,7,true]"#, &["group:uplink", "eth*", "7", "true"]),
            (r#"["a,b","]","ü"]"#, &["a,b", "]", "ü"]),
            (r#"["\"\\\/\n\u0001x"]"#, &["\"\\/\n\u{1}x"]),
        ];
        for (json, want) in cases {
            assert_eq!(texts(json).as_deref().unwrap_or_default(), want, "{json}");
        }
    }

    /// Every text of up to seven of the characters that matter here.
    #[test]
    fn no_text_panics() {
        let mut all = vec![String::from("[")];
        for _ in 0..6 {
            let longer = |text: &String| {
                let text = text.clone();
                "\"\\,]uü0".chars().map(move |c| format!("{text}{c}"))
            };
            all = all.iter().flat_map(longer).collect();
            all.iter().for_each(|text| drop(texts(text)));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let cases = [
            "",
            "[",
            "a",
            "[a]",
            "[,]",
            r#"["a",]"#,
            r#"["a" "b"]"#,
            r#"["a"#,
            r#"["\"#,
            r#"["\x"]"#,
            r#"["\u00"]"#,
            r#"["\u12"ü]"#,
            "[null]",
            "[[]]",
            "[{}]",
            r#"["a"]b"#,
            "[NaN]",
            "[-]",
            "[{7]",
        ];
        for json in cases {
            assert_eq!(texts(json), None, "{json}");
        }
    }
}
