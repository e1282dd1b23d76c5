//! The encodings of strings in a guest's memory ("Canonical ABI", `string-encoding`).

/// The encoding that canonical options choose for strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum StringEncoding {
    /// UTF-8.
    Utf8 = 0,
    /// UTF-16, little-endian.
    Utf16 = 1,
    /// Latin-1, or UTF-16 if the length's top bit is set.
    Latin1Utf16 = 2,
}

/// The code units that a string is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeUnits {
    /// Bytes of UTF-8.
    Utf8,
    /// Two bytes each, little-endian.
    Utf16,
    /// One byte for each of the first 256 code points.
    Latin1,
}

impl StringEncoding {
    /// The encoding with this number in an artifact; `None` if no encoding has it.
    pub const fn from_number(number: u32) -> Option<StringEncoding> {
        Some(match number {
            0 => StringEncoding::Utf8,
            1 => StringEncoding::Utf16,
            2 => StringEncoding::Latin1Utf16,
            _ => return None,
        })
    }

    /// The number in artifacts.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl CodeUnits {
    /// Bytes of a code unit.
    pub const fn size(self) -> u64 {
        match self {
            CodeUnits::Utf8 | CodeUnits::Latin1 => 1,
            CodeUnits::Utf16 => 2,
        }
    }

    /// The alignment of a string in memory, in bytes. Latin-1 is aligned as UTF-16, because both
    /// belong to one encoding.
    pub const fn align(self) -> u32 {
        match self {
            CodeUnits::Utf8 => 1,
            CodeUnits::Utf16 | CodeUnits::Latin1 => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_encodings() {
        let known = [
            StringEncoding::Utf8,
            StringEncoding::Utf16,
            StringEncoding::Latin1Utf16,
        ];
        for encoding in known {
            assert_eq!(
                StringEncoding::from_number(encoding.number()),
                Some(encoding)
            );
        }
        for number in [3, 4, u32::MAX] {
            assert_eq!(StringEncoding::from_number(number), None);
        }
    }
}
