//! Descriptions: full types and names, for errors, reflection and the dynamic API. Encoded with
//! `bincode`, and decoded only when asked for.

use bincode::{Decode, Encode};

use crate::error::FormatError;
use crate::types::{FuncType, TypeDef, Types, ValueType};

/// The annotations of an import or export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Extern {
    /// The full name of the interface that it implements (`a:b/c@1.2.3`), where its own name is a
    /// label: `(implements "...")`.
    pub implements: Option<String>,
    /// A text with a meaning for hosts: `(external-id "...")`.
    pub external_id: Option<String>,
}

impl Extern {
    /// Whether there are no annotations.
    pub fn is_empty(&self) -> bool {
        self.implements.is_none() && self.external_id.is_none()
    }
}

/// The complete types of a component's imports and exports.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// All types that the functions use.
    pub types: Types,
    /// Function types; records refer to them by index.
    pub funcs: Vec<FuncType>,
    /// The payloads of streams and futures, and the results of tasks, to which records refer by
    /// index: no two are the same type.
    pub numbered: Vec<ValueType>,
    /// The names that the component gives to types, as paths (`instance#name`, or `name`).
    pub type_names: Vec<(String, ValueType)>,
    /// Annotated imports, by path, with their annotations.
    pub imports: Vec<(String, Extern)>,
    /// Annotated exports, likewise.
    pub exports: Vec<(String, Extern)>,
}

#[derive(Encode, Decode)]
struct Encoded {
    resource_names: Vec<String>,
    defs: Vec<TypeDef>,
    funcs: Vec<FuncType>,
    numbered: Vec<ValueType>,
    type_names: Vec<(String, ValueType)>,
}

/// Comes after [`Encoded`] unless it is empty: older artifacts have none.
#[derive(Encode, Decode)]
struct EncodedExterns {
    imports: Vec<(String, Extern)>,
    exports: Vec<(String, Extern)>,
}

/// An encoding that does not depend on the machine.
fn config() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_little_endian()
        .with_limit::<{ 1 << 28 }>()
}

impl Description {
    /// The bytes of the section.
    pub fn encode(&self) -> Vec<u8> {
        let encoded = Encoded {
            resource_names: self.types.resource_names.clone(),
            defs: self.types.defs().to_vec(),
            funcs: self.funcs.clone(),
            numbered: self.numbered.clone(),
            type_names: self.type_names.clone(),
        };
        let mut bytes = to_vec(&encoded);
        if !self.imports.is_empty() || !self.exports.is_empty() {
            bytes.extend(to_vec(&EncodedExterns {
                imports: self.imports.clone(),
                exports: self.exports.clone(),
            }));
        }
        bytes
    }

    /// The annotations of the import of this path, if it has any.
    pub fn import(&self, path: &str) -> Option<&Extern> {
        find(&self.imports, path)
    }

    /// The annotations of the export of this path, if it has any.
    pub fn export(&self, path: &str) -> Option<&Extern> {
        find(&self.exports, path)
    }

    /// Reads the bytes of the section.
    ///
    /// # Errors
    /// [`FormatError::Describe`] if they are not descriptions, or refer to types that are not in
    /// them.
    pub fn decode(bytes: &[u8]) -> Result<Description, FormatError> {
        let (encoded, rest) = from_slice::<Encoded>(bytes)?;
        let (externs, rest) = match rest {
            [] => (None, rest),
            rest => {
                let (externs, rest) = from_slice::<EncodedExterns>(rest)?;
                (Some(externs), rest)
            }
        };
        let (imports, exports) = externs
            .map(|externs| (externs.imports, externs.exports))
            .unwrap_or_default();
        let mut types = Types::from_defs(encoded.defs).ok_or(FormatError::Describe)?;
        types.resource_names = encoded.resource_names;
        let known = |ty: &ValueType| types.contains(*ty);
        let funcs_known = encoded.funcs.iter().all(|func| {
            func.params.iter().all(|(_, ty)| known(ty)) && func.result.iter().all(known)
        });
        let names_known = encoded.type_names.iter().all(|(_, ty)| known(ty));
        let numbered_known = encoded.numbered.iter().all(known);
        if !rest.is_empty() || !funcs_known || !names_known || !numbered_known {
            return Err(FormatError::Describe);
        }
        Ok(Description {
            types,
            funcs: encoded.funcs,
            numbered: encoded.numbered,
            type_names: encoded.type_names,
            imports,
            exports,
        })
    }
}

fn to_vec(value: &impl Encode) -> Vec<u8> {
    match bincode::encode_to_vec(value, config()) {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("plain data always encodes: {error}"),
    }
}

/// Decodes a value; returns it and the bytes after it.
fn from_slice<T: Decode<()>>(bytes: &[u8]) -> Result<(T, &[u8]), FormatError> {
    let decoded = bincode::decode_from_slice(bytes, config());
    let (value, read): (T, usize) = decoded.map_err(|_| FormatError::Describe)?;
    Ok((value, bytes.get(read..).ok_or(FormatError::Describe)?))
}

fn find<'e>(externs: &'e [(String, Extern)], path: &str) -> Option<&'e Extern> {
    let found = externs.iter().find(|(of, _)| of == path);
    found.map(|(_, said)| said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Description {
        let mut types = Types::new();
        let list = ValueType::Def(types.push(TypeDef::List(ValueType::S32)));
        let record = TypeDef::Record(vec![("xs".into(), list), ("c".into(), ValueType::Char)]);
        let record = ValueType::Def(types.push(record));
        let func = FuncType {
            params: vec![("a".into(), record)],
            result: Some(list),
            is_async: false,
        };
        Description {
            types,
            funcs: vec![func],
            type_names: vec![("pair".into(), record)],
            ..Description::default()
        }
    }

    /// A description with annotations.
    fn annotated() -> Description {
        let said = Extern {
            implements: Some("a:b/c@1.2.3".into()),
            external_id: Some("ä".into()),
        };
        Description {
            imports: vec![("a".into(), said.clone()), ("b".into(), Extern::default())],
            exports: vec![("a#f".into(), said)],
            ..sample()
        }
    }

    #[test]
    fn descriptions_come_back() {
        let bytes = sample().encode();
        let back = Description::decode(&bytes).unwrap();
        assert_eq!(back.funcs, sample().funcs);
        assert_eq!(back.types.defs(), sample().types.defs());
        assert_eq!(
            back.types.func_hash(&back.funcs[0]),
            sample().types.func_hash(&back.funcs[0])
        );
    }

    #[test]
    fn what_is_said_about_imports_and_exports_comes_back() {
        let back = Description::decode(&annotated().encode()).unwrap();
        assert_eq!(back.import("a"), Some(&annotated().exports[0].1));
        assert_eq!(back.import("a#f"), None);
        assert_eq!(
            (back.imports, back.exports),
            (annotated().imports, annotated().exports)
        );
        // Without annotations, the encoding is the one of versions that had none.
        assert!(annotated().encode().starts_with(&sample().encode()));
    }

    #[test]
    fn damaged_descriptions_are_errors() {
        let (plain, bytes) = (sample().encode(), annotated().encode());
        for len in (0..bytes.len()).filter(|len| *len != plain.len()) {
            assert!(Description::decode(&bytes[..len]).is_err());
        }
        assert!(Description::decode(&[&bytes[..], &[0]].concat()).is_err());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let _ = Description::decode(&bytes);
            }
        }
    }
}
