//! Words for people: text from outside, made safe to print in somebody's terminal, and days.

/// `text` without control or bidirectional characters, which could rewrite a terminal line so that a refusal reads as
/// an approval, and cut after `characters_max`.
pub fn printable(text: &str, characters_max: usize) -> String {
    let mut printable = String::with_capacity(text.len().min(characters_max));
    for (count, character) in text.chars().enumerate() {
        if count == characters_max {
            printable.push('…');
            break;
        }
        let hides = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        printable.push(if hides { ' ' } else { character });
    }
    printable
}

/// The day of a moment in seconds since 1970, in UTC: `2026-01-31`.
pub fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_can_move_the_cursor_or_turn_the_line() {
        let cases = [
            ("RUN apt-get update", "RUN apt-get update"),
            ("a\u{1b}[2Jb", "a [2Jb"),
            ("a\nb\rc\td", "a b c d"),
            ("x\u{202e}y\u{200b}z", "x y z"),
            ("0123456789abc", "0123456789…"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text, 10).chars().count(), expected.chars().count().min(11), "{text:?}");
            assert_eq!(printable(text, 40), if text.starts_with("0123") { text } else { expected });
        }
    }
}
