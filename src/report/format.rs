//! Numbers and statuses in words: the one place where a value becomes text on a page.
//!
//! In: counts, fractions, hours and the status of a metric. Out: short text with no-break spaces, so
//! that a number never parts from its unit. Invariant: text never overstates. A share is "0.0 %" or
//! "100.0 %" only when it is exactly that, and a value that is absent or not finite is "no data".
//! Pure: no locale of the machine, no clock, no markup (escaping is `html`'s business).

/// What a missing value is called everywhere.
pub const NO_DATA: &str = "no data";

/// Denominators below this are small samples: their counts are read before their percentage.
pub const SMALL_SAMPLE: u64 = 30;

const HOURS_SHOWN_AS_DAYS: f64 = 72.0;
/// Keeps a number and its unit on one line.
const NBSP: char = '\u{a0}';

/// A count with thousands separators: `8,828`.
pub fn count(value: u64) -> String {
    group(&value.to_string())
}

/// A change of a count with its sign: `+1`, `−12` (a real minus), `0`.
pub fn change(value: i64) -> String {
    let digits = group(&value.unsigned_abs().to_string());
    match value {
        0 => digits,
        1.. => format!("+{digits}"),
        _ => format!("\u{2212}{digits}"),
    }
}

/// Counts of a share: `3,740 of 8,828`.
pub fn of(numerator: u64, denominator: u64) -> String {
    format!("{}{NBSP}of{NBSP}{}", count(numerator), count(denominator))
}

/// A fraction (0.424) as a percentage with one decimal: `42.4 %`. What would round to nothing or to
/// everything without being it reads `< 0.1 %` or `> 99.9 %`.
pub fn percent(fraction: Option<f64>) -> String {
    let Some(value) = finite(fraction) else { return NO_DATA.into() };
    let rounded = format!("{:.1}", value * 100.0);
    match rounded.as_str() {
        "0.0" | "-0.0" if value > 0.0 => format!("<{NBSP}0.1{NBSP}%"),
        "100.0" if value < 1.0 => format!(">{NBSP}99.9{NBSP}%"),
        "-0.0" => format!("0.0{NBSP}%"),
        _ => format!("{}{NBSP}%", signed(&rounded)),
    }
}

/// An interval of fractions in percentage points: `[41.3, 43.4]`.
pub fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match (finite(low), finite(high)) {
        (Some(low), Some(high)) => {
            let part = |value: f64| signed(&format!("{:.1}", value * 100.0 + 0.0));
            // A bound above zero is not printed as zero: that would claim certainty.
            let upper = if high > 0.0 && high < 0.0005 { "< 0.1".to_owned() } else { part(high) };
            format!("[{},{NBSP}{upper}]", part(low))
        }
        _ => NO_DATA.into(),
    }
}

/// A difference of fractions in percentage points, with its sign: `+5.2 pp`, `−3.1 pp`. A difference that
/// would round to nothing without being nothing reads `+< 0.1 pp`.
pub fn points(difference: Option<f64>) -> String {
    let Some(value) = finite(difference) else { return NO_DATA.into() };
    let sign = if value > 0.0 { "+" } else { "" };
    let rounded = format!("{:.1}", value * 100.0);
    match rounded.as_str() {
        "0.0" if value > 0.0 => format!("+<{NBSP}0.1{NBSP}pp"),
        "-0.0" if value < 0.0 => format!("\u{2212}<{NBSP}0.1{NBSP}pp"),
        "-0.0" => format!("0.0{NBSP}pp"),
        _ => format!("{sign}{}{NBSP}pp", signed(&rounded)),
    }
}

/// An interval of plain numbers: `[0.62, 1.1]`.
pub fn bounds(low: Option<f64>, high: Option<f64>) -> String {
    match (finite(low), finite(high)) {
        (Some(_), Some(_)) => format!("[{},{NBSP}{}]", number(low), number(high)),
        _ => NO_DATA.into(),
    }
}

/// An RFC 3339 instant to the minute: `2026-03-02 14:05`; other text stays as it is.
pub fn instant(text: &str) -> String {
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) if is_instant(text) => format!("{day}{NBSP}{time}").replace('-', "\u{2011}"),
        _ => text.to_owned(),
    }
}

/// The day of an RFC 3339 instant or date: `2026-03-02`; other text stays as it is.
pub fn date(text: &str) -> String {
    match text.get(..10) {
        Some(day) if is_date(day) && (text.len() == 10 || is_instant(text)) => day.replace('-', "\u{2011}"),
        _ => text.to_owned(),
    }
}

fn is_date(text: &str) -> bool {
    let is_placed = |(i, c): (usize, char)| if matches!(i, 4 | 7) { c == '-' } else { c.is_ascii_digit() };
    text.len() == 10 && text.chars().enumerate().all(is_placed)
}

fn is_instant(text: &str) -> bool {
    text.get(..10).is_some_and(is_date)
        && text.get(10..16).is_some_and(|t| t.starts_with(['T', ' ']) && t.as_bytes()[3] == b':')
}

/// A plain number with at most three decimals and no trailing zeros: `0.183`, `1,250`.
pub fn number(value: Option<f64>) -> String {
    let Some(value) = finite(value) else { return NO_DATA.into() };
    let fixed = format!("{value:.3}");
    match fixed.as_str() {
        "0.000" if value > 0.0 => return format!("<{NBSP}0.001"),
        "-0.000" if value < 0.0 => return format!(">{NBSP}\u{2212}0.001"),
        _ => {}
    }
    let (whole, decimals) = fixed.split_once('.').unwrap_or((&fixed, ""));
    let decimals = decimals.trim_end_matches('0');
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) if value != 0.0 => ("\u{2212}", digits),
        Some(digits) => ("", digits),
        None => ("", whole),
    };
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{decimals}", group(digits))
}

/// A duration in hours: `40 s`, `12 min`, `3.2 h`, and days beyond 72 hours: `5.1 d`.
pub fn hours(value: Option<f64>) -> String {
    let Some(value) = finite(value) else { return NO_DATA.into() };
    let size = value.abs();
    let (amount, unit) = if size > HOURS_SHOWN_AS_DAYS {
        (format!("{:.1}", value / 24.0), "d")
    } else if size >= 1.0 || value == 0.0 {
        (format!("{value:.1}"), "h")
    } else if size >= 1.0 / 60.0 {
        (format!("{:.0}", value * 60.0), "min")
    } else {
        (format!("{:.0}", value * 3600.0), "s")
    };
    format!("{}{NBSP}{unit}", signed(&amount))
}

/// The status of a metric in words; nothing for `ok`. An unknown status is shown as it is.
pub fn status(status: &str) -> Option<&str> {
    match status {
        "ok" => None,
        "no_data" => Some(NO_DATA),
        "immature" => Some("not yet mature"),
        "small_sample" => Some("small sample: read the counts"),
        other => Some(other),
    }
}

/// The large and the small line of a rate. Normally the percentage leads and the counts follow; in a
/// small sample the counts lead; without data there is no small line.
pub fn rate(numerator: u64, denominator: u64, value: Option<f64>) -> (String, String) {
    if denominator == 0 || finite(value).is_none() {
        return (NO_DATA.into(), String::new());
    }
    let (counts, share) = (of(numerator, denominator), percent(value));
    if denominator < SMALL_SAMPLE { (counts, share) } else { (share, counts) }
}

/// Text from outside with everything that could deceive a reader made visible: control characters and
/// the characters that reorder text stand as `⟨U+202E⟩`. Line feeds and tabs stay.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push_str(&code_point(c)),
            c if c.is_control() => out.push_str(&code_point(c)),
            c => out.push(c),
        }
    }
    out
}

fn code_point(c: char) -> String {
    format!("⟨U+{:04X}⟩", c as u32)
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

fn signed(number: &str) -> String {
    number.replacen('-', "\u{2212}", 1)
}

fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain spaces make the expectations readable.
    fn plain(text: impl AsRef<str>) -> String {
        text.as_ref().replace(NBSP, " ")
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let got = [0, 7, 999, 1_000, 8_828, 1_234_567].map(count);
        assert_eq!(got, ["0", "7", "999", "1,000", "8,828", "1,234,567"]);
        assert_eq!([1, 0, -1_200].map(change), ["+1", "0", "\u{2212}1,200"]);
    }

    #[test]
    fn a_percentage_has_one_decimal_and_its_unit() {
        assert_eq!(plain(percent(Some(3740.0 / 8828.0))), "42.4 %");
        assert_eq!(plain(percent(Some(0.0))), "0.0 %");
        assert_eq!(plain(percent(Some(1.0))), "100.0 %");
    }

    #[test]
    fn a_share_never_rounds_to_nothing_or_to_everything() {
        assert_eq!(plain(percent(Some(0.0004))), "< 0.1 %");
        assert_eq!(plain(percent(Some(9_999.0 / 10_000.0))), "> 99.9 %");
    }

    #[test]
    fn absent_and_infinite_values_are_no_data() {
        for value in [None, Some(f64::NAN), Some(f64::INFINITY)] {
            assert_eq!([percent(value), hours(value), number(value), interval(value, Some(1.0))], [NO_DATA; 4]);
        }
    }

    #[test]
    fn an_interval_is_in_percentage_points() {
        assert_eq!(plain(interval(Some(0.4134), Some(0.434))), "[41.3, 43.4]");
        assert_eq!(plain(interval(Some(-0.0), Some(1.0))), "[0.0, 100.0]");
    }

    #[test]
    fn a_difference_carries_its_sign_and_never_rounds_to_none() {
        let got = [0.052, -0.031, 0.0, 0.0001, -0.0001].map(|d| plain(points(Some(d))));
        assert_eq!(got, ["+5.2 pp", "\u{2212}3.1 pp", "0.0 pp", "+< 0.1 pp", "\u{2212}< 0.1 pp"]);
        assert_eq!(plain(bounds(Some(0.62), Some(1.1))), "[0.62, 1.1]");
    }

    #[test]
    fn an_instant_is_shown_to_the_minute_and_other_text_as_it_is() {
        let simple = |text: String| plain(text).replace('\u{2011}', "-");
        assert_eq!(simple(instant("2026-03-02T14:05:33.120000Z")), "2026-03-02 14:05");
        assert_eq!(simple(date("2026-03-02T14:05:33Z")), "2026-03-02");
        assert_eq!([instant("yesterday at noon, ok"), date("")], ["yesterday at noon, ok", ""]);
        assert_eq!(instant("2026-03-02"), "2026-03-02");
    }

    #[test]
    fn durations_choose_the_unit_a_person_would() {
        let got = [0.0, 0.01, 0.2, 3.2, 72.0, 122.4].map(|h| plain(hours(Some(h))));
        assert_eq!(got, ["0.0 h", "36 s", "12 min", "3.2 h", "72.0 h", "5.1 d"]);
    }

    #[test]
    fn plain_numbers_lose_trailing_zeros_but_never_become_nothing() {
        let got = [0.0, 0.183, 1250.0, -2.5, 0.0001, -0.0001].map(|v| plain(number(Some(v))));
        assert_eq!(got, ["0", "0.183", "1,250", "\u{2212}2.5", "< 0.001", "> \u{2212}0.001"]);
    }

    #[test]
    fn a_small_sample_leads_with_its_counts() {
        assert_eq!(rate(3, 11, Some(3.0 / 11.0)).0, of(3, 11));
        assert_eq!(plain(rate(3740, 8828, Some(3740.0 / 8828.0)).1), "3,740 of 8,828");
        assert_eq!(rate(0, 0, None), (NO_DATA.into(), String::new()));
    }

    #[test]
    fn statuses_are_words_and_ok_is_silence() {
        assert_eq!(status("ok"), None);
        assert_eq!(status("small_sample"), Some("small sample: read the counts"));
        assert_eq!(status("immature"), Some("not yet mature"));
    }

    #[test]
    fn text_that_reorders_or_hides_itself_is_made_visible() {
        assert_eq!(visible("a\u{202e}b\0c\nd"), "a⟨U+202E⟩b⟨U+0000⟩c\nd");
    }
}
