//! Descriptions: full types and names, for errors, reflection and the dynamic API. Encoded with
//! `serde` and `bincode`, which occur in this module only, and decoded only when asked for.

use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::types::{FuncType, TypeDef, Types, ValueType};

/// What a component imports or exports, in full.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// All types that the functions use.
    pub types: Types,
    /// Function types; records refer to them by index.
    pub funcs: Vec<FuncType>,
    /// Names that the component gives to types, by path (`instance#name`, or `name`).
    pub type_names: Vec<(String, ValueType)>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    resource_names: Vec<String>,
    defs: Vec<TypeDef>,
    funcs: Vec<FuncType>,
    type_names: Vec<(String, ValueType)>,
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
            type_names: self.type_names.clone(),
        };
        match bincode::serde::encode_to_vec(&encoded, config()) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("plain data always encodes: {error}"),
        }
    }

    /// Reads the bytes of the section.
    ///
    /// # Errors
    /// [`FormatError::Describe`] if they are not descriptions, or refer to types they do not hold.
    pub fn decode(bytes: &[u8]) -> Result<Description, FormatError> {
        let (encoded, read): (Encoded, usize) = bincode::serde::decode_from_slice(bytes, config())
            .map_err(|_| FormatError::Describe)?;
        let mut types = Types::from_defs(encoded.defs).ok_or(FormatError::Describe)?;
        types.resource_names = encoded.resource_names;
        let known = |ty: &ValueType| types.contains(*ty);
        let funcs_known = encoded.funcs.iter().all(|func| {
            func.params.iter().all(|(_, ty)| known(ty)) && func.result.iter().all(known)
        });
        let names_known = encoded.type_names.iter().all(|(_, ty)| known(ty));
        if read != bytes.len() || !funcs_known || !names_known {
            return Err(FormatError::Describe);
        }
        Ok(Description {
            types,
            funcs: encoded.funcs,
            type_names: encoded.type_names,
        })
    }
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
        };
        Description {
            types,
            funcs: vec![func],
            type_names: vec![("pair".into(), record)],
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
    fn damaged_descriptions_are_errors() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(Description::decode(&bytes[..len]).is_err());
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let _ = Description::decode(&bytes);
            }
        }
    }
}
