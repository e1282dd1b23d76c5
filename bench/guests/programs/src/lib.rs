//! What the programs share: numbers and texts to work on, and a checksum of what comes out.

/// Numbers that look random, the same on every machine.
pub struct Random(u32);

impl Random {
    pub const fn new() -> Random {
        Random(0x2545_f491)
    }

    /// The next number: "xorshift32" of G. Marsaglia, Xorshift RNGs.
    pub fn number(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number below `end`, small ones more often than large ones.
    pub fn skewed(&mut self, end: u32) -> u32 {
        let high = |number: u32, end: u32| (u64::from(number) * u64::from(end) >> 32) as u32;
        let end = high(self.number(), end) + 1;
        high(self.number(), end)
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::new()
    }
}

const WORDS: [&str; 48] = [
    "the",
    "of",
    "a",
    "to",
    "in",
    "is",
    "and",
    "it",
    "that",
    "for",
    "was",
    "on",
    "with",
    "as",
    "component",
    "memory",
    "compiler",
    "function",
    "instance",
    "value",
    "Straße",
    "naïve",
    "called",
    "before",
    "register",
    "table",
    "première",
    "stack",
    "loader",
    "artifact",
    "Ελλάδα",
    "address",
    "between",
    "machine",
    "constant",
    "instruction",
    "мир",
    "string",
    "measurement",
    "canonical",
    "世界",
    "resource",
    "evaluation",
    "host",
    "something",
    "otherwise",
    "trampoline",
    "nothing",
];

/// Sentences of `len` bytes or a few more. Some words are not ASCII.
pub fn text(random: &mut Random, len: usize) -> String {
    let mut text = String::with_capacity(len + 64);
    while text.len() < len {
        let words = random.skewed(14) + 3;
        for index in 0..words {
            let word = WORDS[random.skewed(WORDS.len() as u32) as usize];
            if index > 0 {
                text.push(' ');
                text.push_str(word);
            } else {
                let mut letters = word.chars();
                text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
                text.push_str(letters.as_str());
            }
            if random.number() % 16 == 0 {
                text.push(',');
            }
        }
        text.push_str(if random.number() % 5 == 0 {
            ".\n"
        } else {
            ". "
        });
    }
    text
}

/// A number that depends on each of the bytes, and on the sum before.
pub fn checksum(sum: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let sum = words
        .iter()
        .fold(sum, |sum, word| mixed(sum, u32::from_le_bytes(*word)));
    rest.iter()
        .fold(sum, |sum, byte| mixed(sum, u32::from(*byte)))
}

/// The sum with a number added to it.
pub fn mixed(sum: u32, number: u32) -> u32 {
    (sum.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b1)
}
