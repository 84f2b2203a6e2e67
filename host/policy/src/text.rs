//! Words from guests, made fit for logs and status: short, and without control characters. Pure.

/// Text of others as it may be shown on a terminal: what would end the line, steer the terminal or
/// turn the text around becomes U+FFFD.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// At most `max` bytes of `text`, cut between characters, control characters replaced by U+FFFD.
/// Line ends and terminal escapes would let a policy write log lines of others.
pub(crate) fn clip(text: &str, max: usize) -> String {
    let mut clipped = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = shown(c);
        if clipped.len() + c.len_utf8() > max {
            break;
        }
        clipped.push(c);
    }
    clipped
}

fn shown(c: char) -> char {
    if c.is_control() || is_format(c) { '\u{fffd}' } else { c }
}

/// Characters that end a line, or change the direction of the text around them.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
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

    #[test]
    fn nothing_steers_a_terminal_or_turns_text_around() {
        for code in (0..0x20).chain(0x7f..0xa0).chain(0x2028..0x202f).chain(0x2066..0x206a) {
            let c = char::from_u32(code).unwrap();
            assert_eq!(plain(&format!("a{c}b")), "a\u{fffd}b", "U+{code:04X}");
        }
        assert_eq!(plain("grüße, 世界: a-b_c"), "grüße, 世界: a-b_c");
    }
}
