//! Names and times, as they are shown.

use std::time::Duration;

use cwasm::{Profile, ProfileClock, ProfileThread, escape};

/// A name without control characters, on one line.
pub(crate) fn plain(name: &str) -> String {
    escape::name(name).to_string()
}

/// The name of a thread.
pub(crate) fn name_of(thread: &ProfileThread) -> String {
    match &thread.name {
        Some(name) => plain(name),
        None => format!("thread {}", thread.id),
    }
}

/// A name in XML or HTML.
pub(crate) fn markup(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in plain(name).chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            // No characters of XML.
            '\u{fffe}' | '\u{ffff}' => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    text
}

/// Nanoseconds with a unit, three digits.
pub(crate) fn time(nanos: u64) -> String {
    let (number, unit) = match nanos {
        0..1_000_000 => (nanos as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    let digits = match number {
        0.0..9.995 => 2,
        0.0..99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$} {unit}")
}

/// A part of a whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// What was measured, and what is not in its stacks, in a line.
pub fn summary(profile: &Profile) -> String {
    let sum = |time: fn(&ProfileThread) -> Duration| {
        let sum: Duration = profile.threads.iter().map(time).sum();
        sum.as_nanos() as u64
    };
    let samples = profile.threads.iter().flat_map(|thread| &thread.samples);
    let (count, in_guests) = samples.fold((0, 0), |(count, sum), sample| {
        (count + 1, sum + sample.weight)
    });
    let clock = match profile.clock {
        ProfileClock::Cpu => "CPU time",
        _ => "time",
    };
    let mut text = format!("{count} samples, {} of {clock} in guests", time(in_guests));
    let others = [
        (sum(|thread| thread.outside), "outside"),
        (sum(|thread| thread.unknown), "in stacks that are not known"),
        (sum(|thread| thread.dropped), "dropped"),
    ];
    for (nanos, what) in others {
        if nanos != 0 {
            text.push_str(&format!(", {} {what}", time(nanos)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (nanos, text) in [
            (0, "0.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_960, "100 µs"),
            (1_234_567, "1.23 ms"),
            (12_345_678, "12.3 ms"),
            (3_600_000_000_000, "3600 s"),
        ] {
            assert_eq!(time(nanos), text);
        }
        assert_eq!(
            (percent(1, 3), percent(0, 0)),
            ("33.3 %".to_owned(), "0.0 %".to_owned())
        );
    }

    #[test]
    fn names_are_no_markup() {
        assert_eq!(
            markup("<a b='\u{1b}&\n\u{ffff}'>"),
            "&lt;a b=&#39;\\u{1b}&amp;\\u{a}\u{fffd}&#39;&gt;"
        );
    }
}
