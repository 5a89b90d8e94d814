//! Text from strangers, made fit to be shown.

/// The most characters shown of anything that a file or a worker says.
const MAX_CHARS: usize = 300;

/// `text` on one line, without characters that act on a terminal or change the direction of writing, and not longer than
/// [`MAX_CHARS`].
pub fn plain(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == MAX_CHARS {
            shown.push('…');
            break;
        }
        if is_plain(character) { shown.push(character) } else { shown.extend(character.escape_unicode()) }
    }
    shown
}

/// So many of them: `1 picture`, `2 pictures`.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn is_plain(character: char) -> bool {
    let invisible = matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    !character.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        assert_eq!(plain("Ton für Ton"), "Ton für Ton");
        assert_eq!(plain("a\x1b[2J\r\n\u{9b}b"), r"a\u{1b}[2J\u{d}\u{a}\u{9b}b");
        assert_eq!(plain("gpj.\u{202e}exe"), r"gpj.\u{202e}exe");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(plain(&"ä".repeat(1000)), "ä".repeat(MAX_CHARS) + "…");
    }
}
