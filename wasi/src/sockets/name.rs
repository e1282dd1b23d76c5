//! Names of hosts: which are valid, and how they are written in ASCII (IDNA).

/// The longest name, and the longest part of one, in ASCII.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// A name as it is looked up; `None` if it cannot be one.
///
/// Parts that are not ASCII become lower case, and Punycode. Nothing is composed: a name whose
/// accents are characters of their own is not taken, for it would be another name.
pub(super) fn to_ascii(name: &str) -> Option<String> {
    // A character of Punycode stands for at most one of the name, which has at most 4 bytes.
    if name.len() > 4 * (MAX_NAME + 1) {
        return None;
    }
    // The dots of other scripts.
    let name = name.replace(['\u{3002}', '\u{ff0e}', '\u{ff61}'], ".");
    let is_absolute = name.ends_with('.');
    let labels = name.strip_suffix('.').unwrap_or(&name).split('.');
    let labels: Option<Vec<String>> = labels.map(label_to_ascii).collect();
    let mut ascii = labels?.join(".");
    if ascii.len() > MAX_NAME {
        return None;
    }
    if is_absolute {
        ascii.push('.');
    }
    Some(ascii)
}

fn label_to_ascii(label: &str) -> Option<String> {
    let label = label.to_lowercase();
    let ascii = match label.is_ascii() {
        true => label,
        false => format!("xn--{}", punycode(&label)?),
    };
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let fits = !ascii.is_empty() && ascii.len() <= MAX_LABEL;
    (fits && ascii.bytes().all(is_valid)).then_some(ascii)
}

/// A character that no name has, or that is part of another one.
fn is_forbidden(character: char) -> bool {
    let is_unseen = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{206f}');
    let is_accent = matches!(character, '\u{300}'..='\u{36f}');
    character.is_whitespace() || character.is_control() || is_unseen || is_accent
}

/// Punycode (RFC 3492, section 6.3): the ASCII of a text, and where the other characters go.
fn punycode(text: &str) -> Option<String> {
    if text.chars().any(is_forbidden) {
        return None;
    }
    let mut output: String = text.chars().filter(char::is_ascii).collect();
    let basic = output.len() as u32;
    let total = text.chars().count() as u32;
    if basic > 0 {
        output.push('-');
    }
    let (mut code, mut delta, mut bias, mut handled) = (128u32, 0u32, 72u32, basic);
    while handled < total {
        let next = text.chars().map(u32::from).filter(|next| *next >= code);
        let next = next.min()?;
        delta = delta.checked_add((next - code).checked_mul(handled + 1)?)?;
        code = next;
        for character in text.chars().map(u32::from) {
            if character < code {
                delta = delta.checked_add(1)?;
            }
            if character == code {
                push_number(&mut output, delta, bias);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        code += 1;
    }
    Some(output)
}

/// A number with digits whose base depends on their place.
fn push_number(output: &mut String, mut number: u32, bias: u32) {
    let mut place = 36;
    loop {
        let threshold = place.clamp(bias + 1, bias + 26) - bias;
        if number < threshold {
            output.push(digit(number));
            return;
        }
        let rest = number - threshold;
        output.push(digit(threshold + rest % (36 - threshold)));
        number = rest / (36 - threshold);
        place += 36;
    }
}

/// `a` to `z`, then `0` to `9`.
fn digit(value: u32) -> char {
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    char::from(letters[value as usize])
}

fn adapt(delta: u32, count: u32, is_first: bool) -> u32 {
    let mut delta = delta / if is_first { 700 } else { 2 };
    delta += delta / count;
    let mut steps = 0;
    while delta > 455 {
        delta /= 35;
        steps += 36;
    }
    steps + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_ascii() {
        for (name, ascii) in [
            ("localhost", "localhost"),
            ("Example.COM.", "example.com."),
            ("_srv.a-b.c", "_srv.a-b.c"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("☃.net", "xn--n3h.net"),
            (
                "почемужеонинеговорятпорусски",
                "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l",
            ),
        ] {
            assert_eq!(to_ascii(name).as_deref(), Some(ascii), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let label = "a".repeat(64);
        let long = ["a".repeat(63).as_str(); 4].join(".");
        for name in [
            "",
            ".",
            "..",
            " ",
            "a b",
            "a..b",
            ".a",
            "a.b<&>",
            "a@b",
            "a:80",
            "http://a/",
            "a%b",
            "[::]:80",
            "a\0b",
            "mu\u{308}nchen.de",
            "ü\u{200b}",
            &label,
            &long,
            &"ü".repeat(60),
        ] {
            assert_eq!(to_ascii(name), None, "{name}");
        }
        assert_eq!(to_ascii(&"\u{10ffff}".repeat(10_000)), None);
    }
}
