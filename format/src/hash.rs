//! Structural hashes of types, which the fast path compares instead of types.
//!
//! A [`TypeHash`] is the first 128 bits of SHA-256 over a type's structure: a tag, the hashes of
//! the parts, the names that belong to the type (of fields, cases and flags; not of parameters).
//! The same functions compute it in the compiler, for imports and exports, and in `const`
//! evaluation, for Rust types. It is SHA-256 because a component's author must not be able to
//! construct a type that passes for another.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The structural hash of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TypeHash(pub [u64; 2]);

/// The kind of the hashed type: the first byte that is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the component model's")]
pub enum Tag {
    Bool = 1,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    List,
    Record,
    Tuple,
    Variant,
    Enum,
    Option,
    Result,
    Flags,
    /// A handle of a resource, owned or borrowed.
    Handle,
    /// Not used.
    Reserved,
    FixedList,
    Map,
    /// An absent type: a case without payload, one side of a result, no function result.
    None,
    /// A function: parameters as a tuple, then the result or `None`.
    Func,
    /// A core function type: its encoding.
    CoreFunc,
    /// A recursion group of core types.
    CoreGroup,
    /// A member of a recursion group: the group and the place.
    CoreMember,
    Stream,
    Future,
    /// As `Func`, of an async function.
    AsyncFunc,
    ErrorContext,
}

impl TypeHash {
    /// The hash of a type that has no parts.
    pub const fn primitive(tag: Tag) -> TypeHash {
        Hasher::new(tag).finish()
    }

    /// The hash of an absent type.
    pub const NONE: TypeHash = TypeHash::primitive(Tag::None);

    /// The hash of a type with unnamed parts: list, tuple, option, result, func.
    pub const fn of_parts(tag: Tag, parts: &[TypeHash]) -> TypeHash {
        let mut hasher = Hasher::new(tag);
        hasher.count(parts.len());
        let mut i = 0;
        while i < parts.len() {
            hasher.part(parts[i]);
            i += 1;
        }
        hasher.finish()
    }

    /// The hash of a list of `len` elements.
    pub const fn fixed_list(element: TypeHash, len: u32) -> TypeHash {
        let mut hasher = Hasher::new(Tag::FixedList);
        hasher.part(element);
        hasher.count(len as usize);
        hasher.finish()
    }

    /// The hash of a function type from the hashes of its parameters and of its result
    /// ([`TypeHash::NONE`] without one). Names of parameters do not count.
    pub const fn func(params: &[TypeHash], result: TypeHash, is_async: bool) -> TypeHash {
        let tag = if is_async { Tag::AsyncFunc } else { Tag::Func };
        TypeHash::of_parts(tag, &[TypeHash::of_parts(Tag::Tuple, params), result])
    }

    /// The hash of a core function type from its [encoding](crate::imports::core_type).
    pub fn core_func(encoding: &[u8]) -> TypeHash {
        let mut hasher = Hasher::new(Tag::CoreFunc);
        hasher.bytes(encoding);
        hasher.finish()
    }

    /// The hash of member `place` of a recursion group of core types.
    pub fn core_member(group: TypeHash, place: usize) -> TypeHash {
        let mut hasher = Hasher::new(Tag::CoreMember);
        hasher.part(group);
        hasher.count(place);
        hasher.finish()
    }

    /// The hash as bytes: two `u64` in little endian.
    pub const fn to_bytes(self) -> [u8; 16] {
        (self.0[0] as u128 | (self.0[1] as u128) << 64).to_le_bytes()
    }

    /// The hash of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> TypeHash {
        let bits = u128::from_le_bytes(bytes);
        TypeHash([bits as u64, (bits >> 64) as u64])
    }

    /// Whether both are the same, in `const` context.
    pub const fn same(self, other: TypeHash) -> bool {
        self.0[0] == other.0[0] && self.0[1] == other.0[1]
    }
}

/// Hashes one type: the tag, then [`count`](Hasher::count), and for each part its
/// [`name`](Hasher::name) (if it has one) and its [`part`](Hasher::part).
pub struct Hasher {
    sha: Sha256,
}

impl Hasher {
    /// Starts the hash of a type of this kind.
    pub const fn new(tag: Tag) -> Hasher {
        let mut sha = Sha256::new();
        sha.byte(tag as u8);
        Hasher { sha }
    }

    /// Adds the number of parts that follow.
    pub const fn count(&mut self, count: usize) {
        let bytes = (count as u64).to_le_bytes();
        let mut i = 0;
        while i < 8 {
            self.sha.byte(bytes[i]);
            i += 1;
        }
    }

    /// Adds the name of a field, case or flag.
    pub const fn name(&mut self, name: &str) {
        self.bytes(name.as_bytes());
    }

    /// Adds bytes of any length.
    pub const fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        let mut i = 0;
        while i < bytes.len() {
            self.sha.byte(bytes[i]);
            i += 1;
        }
    }

    /// Adds the type of a part.
    pub const fn part(&mut self, part: TypeHash) {
        self.count(part.0[0] as usize);
        self.count(part.0[1] as usize);
    }

    /// The hash of everything that was added.
    pub const fn finish(self) -> TypeHash {
        let words = self.sha.finish();
        TypeHash([
            (words[0] as u64) << 32 | words[1] as u64,
            (words[2] as u64) << 32 | words[3] as u64,
        ])
    }
}

/// SHA-256 (FIPS 180-4) that runs in `const` evaluation.
struct Sha256 {
    state: [u32; 8],
    block: [u8; 64],
    len: u64,
}

impl Sha256 {
    const fn new() -> Sha256 {
        Sha256 {
            state: [
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ],
            block: [0; 64],
            len: 0,
        }
    }

    const fn byte(&mut self, byte: u8) {
        self.block[(self.len % 64) as usize] = byte;
        self.len += 1;
        if self.len.is_multiple_of(64) {
            self.compress();
        }
    }

    const fn finish(mut self) -> [u32; 8] {
        let bits = (self.len * 8).to_be_bytes();
        self.byte(0x80);
        while self.len % 64 != 56 {
            self.byte(0);
        }
        let mut i = 0;
        while i < 8 {
            self.byte(bits[i]);
            i += 1;
        }
        self.state
    }

    const fn compress(&mut self) {
        let mut w = [0u32; 64];
        let mut i = 0;
        while i < 16 {
            let b = &self.block;
            w[i] = u32::from_be_bytes([b[i * 4], b[i * 4 + 1], b[i * 4 + 2], b[i * 4 + 3]]);
            i += 1;
        }
        while i < 64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16]
                .wrapping_add(s0)
                .wrapping_add(w[i - 7])
                .wrapping_add(s1);
            i += 1;
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = self.state;
        i = 0;
        while i < 64 {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let t1 = h
                .wrapping_add(s1)
                .wrapping_add(choice)
                .wrapping_add(K[i])
                .wrapping_add(w[i]);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
            (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
            i += 1;
        }
        let round = [a, b, c, d, e, f, g, h];
        i = 0;
        while i < 8 {
            self.state[i] = self.state[i].wrapping_add(round[i]);
            i += 1;
        }
    }
}

/// The round constants of SHA-256: the first 32 bits of the fractional parts of the cube roots of
/// the first 64 primes.
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_standards_examples() {
        let hash = |text: &str| {
            let mut sha = Sha256::new();
            text.bytes().for_each(|byte| sha.byte(byte));
            sha.finish()
        };
        assert_eq!(hash("")[0], 0xe3b0_c442);
        assert_eq!(hash("abc")[..2], [0xba78_16bf, 0x8f01_cfea]);
        let long = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hash(long)[..2], [0x248d_6a61, 0xd206_38b8]);
    }

    #[test]
    fn structure_decides() {
        const U32: TypeHash = TypeHash::primitive(Tag::U32);
        const S32: TypeHash = TypeHash::primitive(Tag::S32);
        let list = |part| TypeHash::of_parts(Tag::List, &[part]);
        assert_ne!(list(U32), list(S32));
        assert_ne!(list(U32), TypeHash::of_parts(Tag::Option, &[U32]));
        assert_ne!(
            TypeHash::func(&[U32], TypeHash::NONE, false),
            TypeHash::func(&[], U32, false)
        );
        assert_ne!(
            TypeHash::func(&[U32, U32], U32, false),
            TypeHash::func(&[U32], U32, false)
        );
    }
}
