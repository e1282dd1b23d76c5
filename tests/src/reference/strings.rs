//! Strings into a guest: each form to each encoding ("store_string_into_range").

use cwasm::TrapCode;

use super::guest::Buffer;
use super::{Encoding, Lower, Meaning, Source, State, Text};

/// A string in memory: pointer, tagged code units, alignment and bytes.
type Stored = (usize, u64, usize, usize);

impl Lower<'_> {
    /// "store_string_into_range"
    pub(super) fn string(&mut self, text: &Text) -> Result<Stored, TrapCode> {
        let (units, string) = (text.code_units(), text.text.as_str());
        let (pointer, units, align, size) = match (self.encoding, text.source) {
            (Encoding::Utf8, Source::Utf8) => self.copy(units, 1, string.as_bytes(), 1),
            (Encoding::Utf8, Source::Latin1) => self.utf8(string, units, 2 * units),
            (Encoding::Utf8, _) => self.utf8(string, units, 3 * units),
            (Encoding::Utf16, Source::Utf8) => self.utf8_to_utf16(string, units),
            (Encoding::Utf16, _) => self.copy(units, 2, &utf16(string), 2),
            (Encoding::Latin1Utf16, _) if self.always_utf16 => {
                let encoded = utf16(string);
                let units = encoded.len() / 2;
                let copied = self.copy(units, 2, &encoded, 2);
                copied.map(|(at, units, align, size)| (at, units | self.utf16_tag(), align, size))
            }
            (Encoding::Latin1Utf16, Source::Latin1) => self.copy(units, 1, &latin1(string), 2),
            (Encoding::Latin1Utf16, Source::TaggedUtf16) => self.tagged(string, units),
            (Encoding::Latin1Utf16, _) => self.latin1_or_utf16(string, units),
        }?;
        self.site(pointer, size, Meaning::Text);
        Ok((pointer, units, align, size))
    }

    fn utf16_tag(&self) -> u64 {
        self.guest.width.utf16_tag()
    }

    fn write(&mut self, buffer: Buffer, from: usize, bytes: &[u8]) {
        self.guest.write(buffer.pointer + from, bytes, State::Exact);
    }

    /// "store_string_copy"
    fn copy(
        &mut self,
        units: usize,
        unit_size: usize,
        encoded: &[u8],
        align: usize,
    ) -> Result<Stored, TrapCode> {
        assert_eq!(units * unit_size, encoded.len());
        let buffer = self.guest.string_buffer(None, align, encoded.len())?;
        self.write(buffer, 0, encoded);
        Ok((buffer.pointer, units as u64, align, encoded.len()))
    }

    /// "store_string_to_utf8"
    fn utf8(&mut self, text: &str, units: usize, worst: usize) -> Result<Stored, TrapCode> {
        let mut buffer = self.guest.string_buffer(None, 1, units)?;
        let Some(ascii) = text.bytes().position(|byte| byte >= 0x80) else {
            self.write(buffer, 0, text.as_bytes());
            return Ok((buffer.pointer, units as u64, 1, units));
        };
        self.write(buffer, 0, &text.as_bytes()[..ascii]);
        buffer = self.guest.string_buffer(Some(buffer), 1, worst)?;
        self.write(buffer, ascii, &text.as_bytes()[ascii..]);
        if worst > text.len() {
            buffer = self.guest.string_buffer(Some(buffer), 1, text.len())?;
        }
        Ok((buffer.pointer, text.len() as u64, 1, text.len()))
    }

    /// "store_utf8_to_utf16"
    fn utf8_to_utf16(&mut self, text: &str, units: usize) -> Result<Stored, TrapCode> {
        let (worst, encoded) = (2 * units, utf16(text));
        let mut buffer = self.guest.string_buffer(None, 2, worst)?;
        self.write(buffer, 0, &encoded);
        if encoded.len() < worst {
            buffer = self.guest.string_buffer(Some(buffer), 2, encoded.len())?;
        }
        Ok((buffer.pointer, encoded.len() as u64 / 2, 2, encoded.len()))
    }

    /// "store_string_to_latin1_or_utf16"
    fn latin1_or_utf16(&mut self, text: &str, units: usize) -> Result<Stored, TrapCode> {
        let mut buffer = self.guest.string_buffer(None, 2, units)?;
        let narrow: Vec<u8> = text
            .chars()
            .map_while(|char| u8::try_from(char).ok())
            .collect();
        self.write(buffer, 0, &narrow);
        if narrow.len() == text.chars().count() {
            if narrow.len() < units {
                buffer = self.guest.string_buffer(Some(buffer), 2, narrow.len())?;
            }
            return Ok((buffer.pointer, narrow.len() as u64, 2, narrow.len()));
        }
        let (worst, encoded) = (2 * units, utf16(text));
        buffer = self.guest.string_buffer(Some(buffer), 2, worst)?;
        // What was written is read again, wherever it is now.
        for index in (0..narrow.len()).rev() {
            let (at, state) = (
                buffer.pointer + index,
                self.guest.states[buffer.pointer + index],
            );
            let byte = self.guest.bytes[at];
            self.guest.write(buffer.pointer + 2 * index, &[byte], state);
            self.guest
                .write(buffer.pointer + 2 * index + 1, &[0], State::Exact);
        }
        self.write(buffer, 2 * narrow.len(), &encoded[2 * narrow.len()..]);
        if worst > encoded.len() {
            buffer = self.guest.string_buffer(Some(buffer), 2, encoded.len())?;
        }
        let tagged = (encoded.len() as u64 / 2) | self.utf16_tag();
        Ok((buffer.pointer, tagged, 2, encoded.len()))
    }

    /// "store_probably_utf16_to_latin1_or_utf16"
    fn tagged(&mut self, text: &str, units: usize) -> Result<Stored, TrapCode> {
        let encoded = utf16(text);
        let buffer = self.guest.string_buffer(None, 2, 2 * units)?;
        self.write(buffer, 0, &encoded);
        if text.chars().any(|char| u8::try_from(char).is_err()) {
            return Ok((
                buffer.pointer,
                units as u64 | self.utf16_tag(),
                2,
                2 * units,
            ));
        }
        self.write(buffer, 0, &latin1(text));
        let buffer = self.guest.string_buffer(Some(buffer), 1, units)?;
        Ok((buffer.pointer, units as u64, 2, units))
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A text that is Latin-1.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| char as u8).collect()
}
