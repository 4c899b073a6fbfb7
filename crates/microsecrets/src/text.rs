//! Text from elsewhere, made safe to show: a hostile name must not write on somebody's terminal.

/// The most characters of a name that are shown.
const MOST: usize = 200;

/// A name as it may be shown: control, bidirectional and other invisible characters escaped, cut at 200 characters.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(text),
    }
}

/// A whole line as it may be shown: escaped as names are, and not cut.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            escaped.push(c);
        } else {
            escaped.extend(c.escape_unicode());
        }
    }
    escaped
}

/// Whether a character shows as itself, in its place.
fn is_plain(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_shown_as_it_is() {
        assert_eq!(shown("ann@laptop grüß 🔑"), "ann@laptop grüß 🔑");
    }

    #[test]
    fn what_would_move_the_cursor_or_turn_the_line_is_escaped() {
        assert_eq!(shown("a\x1b]8;;x\x07b\r\n"), "a\\u{1b}]8;;x\\u{7}b\\u{d}\\u{a}");
        assert_eq!(shown("\u{9b}31m\u{202e}gpj\u{2066}"), "\\u{9b}31m\\u{202e}gpj\\u{2066}");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(shown(&"x".repeat(300)), format!("{}…", "x".repeat(200)));
        assert_eq!(shown(&"ü".repeat(200)), "ü".repeat(200));
        assert_eq!(escaped(&"x".repeat(300)), "x".repeat(300));
    }
}
