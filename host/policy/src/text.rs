//! Words from guests, made fit for logs and status: short, and without control characters. Pure.

/// At most `max` bytes of `text`, cut between characters, control characters replaced by U+FFFD.
/// Line ends and terminal escapes would let a policy write log lines of others.
pub(crate) fn clip(text: &str, max: usize) -> String {
    let mut clipped = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = if c.is_control() || is_format(c) { '\u{fffd}' } else { c };
        if clipped.len() + c.len_utf8() > max {
            break;
        }
        clipped.push(c);
    }
    clipped
}

/// Characters that change the direction of the text around them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_between_characters() {
        for (text, max, want) in [
            ("short", 9, "short"),
            ("cut here", 3, "cut"),
            ("äöü", 3, "ä"),
            ("\x1b[31mred", 20, "\u{fffd}[31mred"),
            ("a\u{202e}b", 20, "a\u{fffd}b"),
            ("", 0, ""),
        ] {
            assert_eq!(clip(text, max), want, "{text:?}");
        }
    }
}
