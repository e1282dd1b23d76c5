//! Names and paths of debug information; equal ones are kept once.

use std::borrow::Cow;
use std::collections::HashMap;

/// The longest text in bytes. Of a longer one there is the start.
const MAX_LEN: usize = 4096;

/// A text of [`Texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TextId(pub(crate) u32);

impl TextId {
    /// The empty text, which stands for what is not known.
    pub(crate) const NONE: TextId = TextId(0);
}

/// Texts by number.
pub(crate) struct Texts {
    all: Vec<Box<str>>,
    known: HashMap<Box<str>, TextId>,
}

impl Texts {
    pub(crate) fn new() -> Texts {
        let mut texts = Texts {
            all: Vec::new(),
            known: HashMap::new(),
        };
        assert_eq!(texts.add(""), TextId::NONE);
        texts
    }

    /// The number of a text.
    pub(crate) fn add(&mut self, text: &str) -> TextId {
        let text = &text[..text.floor_char_boundary(MAX_LEN)];
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let id = TextId(self.all.len() as u32);
        self.all.push(text.into());
        self.known.insert(text.into(), id);
        id
    }

    /// The number of a text that may be no UTF-8.
    pub(crate) fn add_bytes(&mut self, text: &[u8]) -> TextId {
        let text: Cow<'_, str> = String::from_utf8_lossy(&text[..text.len().min(MAX_LEN)]);
        self.add(&text)
    }

    /// All texts, by number.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.all.iter().map(|text| &**text)
    }

    pub(crate) fn get(&self, id: TextId) -> &str {
        &self.all[id.0 as usize]
    }
}
