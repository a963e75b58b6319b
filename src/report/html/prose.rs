//! Sentences of a report as markup: names between backticks are set as code, instants are written to be read.
//!
//! In: plain text that this program wrote. Out: escaped markup. Invariant: no word is lost: an instant carries the whole
//! of itself beside what is shown of it, and one that stands in quotes or in other letters is left as it is, because it
//! is part of a condition. It must not be given a value of a record: that is shown as it is, to the letter.

use super::escape;

/// An RFC 3339 instant up to its seconds, a zero for any digit.
const SHAPE: &str = "0000-00-00T00:00:00";
/// Where the time of day begins in it.
const TIME: usize = 11;
/// Where the seconds begin in it.
const SECONDS: usize = 16;

/// Words as markup.
pub fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // A backtick without a second one is a letter like any other.
    if parts.len().is_multiple_of(2) {
        return with_instants(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (i, part) in parts.into_iter().enumerate() {
        match (i % 2, part) {
            (0, part) => out += &with_instants(part),
            (_, "") => out += "``",
            (_, name) => out += &format!("<code>{}</code>", escape(name)),
        }
    }
    out
}

fn with_instants(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((start, end)) = first_instant(rest) {
        out += &escape(&rest[..start]);
        out += &moment(&rest[start..end]);
        rest = &rest[end..];
    }
    out + &escape(rest)
}

/// From where to where the first instant reaches that is a word of its own.
fn first_instant(text: &str) -> Option<(usize, usize)> {
    text.match_indices('T').find_map(|(letter, _)| {
        let start = (letter + 1).checked_sub(TIME)?;
        let end = start + length(text.get(start..)?)?;
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        let is_free = before.is_none_or(|c| c.is_whitespace() || "([".contains(c))
            && after.is_none_or(|c| c.is_whitespace() || ",.;:)]".contains(c));
        is_free.then_some((start, end))
    })
}

/// How long the instant is that `text` begins with.
fn length(text: &str) -> Option<usize> {
    let is_placed = |(shape, c): (u8, u8)| if shape == b'0' { c.is_ascii_digit() } else { shape == c };
    let whole = text.as_bytes().get(..SHAPE.len())?;
    if !SHAPE.bytes().zip(whole.iter().copied()).all(is_placed) {
        return None;
    }
    let rest = &text[SHAPE.len()..];
    let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count();
    let fraction = rest.strip_prefix('.').map_or(0, |rest| 1 + digits(rest));
    rest[fraction..].starts_with('Z').then_some(SHAPE.len() + fraction + 1)
}

/// An instant to the second, or to the minute where it is a whole one, with all of it beside.
fn moment(instant: &str) -> String {
    let (day, time) = (&instant[..TIME - 1], &instant[TIME..SHAPE.len()]);
    let is_whole_minute = instant[SECONDS..].bytes().all(|c| matches!(c, b':' | b'0' | b'.' | b'Z'));
    let time = if is_whole_minute { &time[..SECONDS - TIME] } else { time };
    format!("<time datetime=\"{instant}\" title=\"{instant}\">{day} {time} UTC</time>")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of the markup.
    fn shown(text: &str) -> String {
        let markup = prose(text);
        let parts = markup.split('<').enumerate();
        parts.map(|(i, part)| if i == 0 { part } else { part.split_once('>').map_or("", |(_, words)| words) }).collect()
    }

    #[test]
    fn an_instant_is_written_to_be_read_and_is_whole_beside_it() {
        let at = "2026-10-01T09:07:33.120000Z";
        assert_eq!(prose(at), format!("<time datetime=\"{at}\" title=\"{at}\">2026-10-01 09:07:33 UTC</time>"));
        let period = "2026-10-01T00:00:00Z to 2026-11-01T00:00:00.000000Z.";
        assert_eq!(shown(period), "2026-10-01 00:00 UTC to 2026-11-01 00:00 UTC.");
        assert_eq!(shown("(2026-10-01T09:07:00.5Z)"), "(2026-10-01 09:07:00 UTC)");
    }

    #[test]
    fn what_is_part_of_a_condition_or_no_instant_stays_as_it_is() {
        for text in [
            "occurred_at > '2026-10-01T00:00:00Z'",
            "id-2026-10-01T00:00:00Z",
            "2026-10-01T00:00:00Zulu",
            "2026-10-01T00:00:00+02:00",
            "2026-10-01T00:00",
            "éT",
            "T",
        ] {
            assert_eq!(prose(text), escape(text));
        }
    }

    #[test]
    fn names_between_backticks_are_code_and_everything_is_escaped() {
        assert_eq!(prose("`a<b` was < `c`"), "<code>a&lt;b</code> was &lt; <code>c</code>");
        assert_eq!(prose("one ` alone & ``"), "one ` alone &amp; ``");
        assert_eq!(prose("``"), "``");
    }
}
