//! The numbers of core function types: references of open units have the number of their type, so
//! that types of different artifacts are compared by one number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::artifact::Unit;
use crate::fork::{self, Locked};

/// The core function types of an engine's instances: forgotten with the last one that has them.
#[derive(Debug, Default)]
pub(crate) struct TypeRegistry(Mutex<Types>);

#[derive(Debug, Default)]
struct Types {
    /// By their encoding.
    ids: HashMap<Arc<[u8]>, u32>,
    /// By number; `None` for numbers that are free.
    known: Vec<Option<Known>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Known {
    bytes: Arc<[u8]>,
    /// How many [`TypeIds`] have it.
    count: usize,
}

/// The numbers of types, which are theirs as long as this is there.
#[derive(Debug)]
pub(crate) struct TypeIds {
    registry: Arc<TypeRegistry>,
    ids: Box<[u32]>,
}

impl TypeIds {
    /// The numbers of an artifact's types, in its order.
    pub(crate) fn of(unit: &Unit, registry: &Arc<TypeRegistry>) -> TypeIds {
        let artifact = unit.artifact();
        let types = artifact.core_types().iter();
        TypeIds::new(
            types.map(|ty| artifact.string_bytes(ty.core_type).unwrap_or_default()),
            registry,
        )
    }

    /// The numbers of types in this encoding; equal types have the same.
    pub(super) fn new<'b>(
        types: impl ExactSizeIterator<Item = &'b [u8]>,
        registry: &Arc<TypeRegistry>,
    ) -> TypeIds {
        let ids = match types.len() {
            0 => Box::default(),
            _ => {
                let mut known = registry.types();
                types.map(|bytes| known.add(bytes)).collect()
            }
        };
        TypeIds {
            registry: Arc::clone(registry),
            ids,
        }
    }
}

impl TypeRegistry {
    /// The encoding of the type of this number.
    pub(crate) fn bytes(&self, id: u32) -> Option<Arc<[u8]>> {
        let types = self.types();
        let known = types.known.get(id as usize)?.as_ref()?;
        Some(Arc::clone(&known.bytes))
    }

    fn types(&self) -> Locked<'_, Types> {
        fork::lock(&self.0)
    }
}

impl Types {
    fn add(&mut self, bytes: &[u8]) -> u32 {
        if let Some(id) = self.ids.get(bytes) {
            if let Some(known) = &mut self.known[*id as usize] {
                known.count += 1;
            }
            return *id;
        }
        let bytes: Arc<[u8]> = bytes.into();
        let known = Some(Known {
            bytes: Arc::clone(&bytes),
            count: 1,
        });
        let id = match self.free.pop() {
            Some(id) => {
                self.known[id as usize] = known;
                id
            }
            None => {
                self.known.push(known);
                // Each takes more than a byte of memory.
                self.known.len() as u32 - 1
            }
        };
        self.ids.insert(bytes, id);
        id
    }

    fn remove(&mut self, id: u32) {
        let place = &mut self.known[id as usize];
        let Some(known) = place else { return };
        known.count -= 1;
        if known.count == 0 {
            self.ids.remove(&known.bytes);
            *place = None;
            self.free.push(id);
        }
    }
}

impl std::ops::Deref for TypeIds {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.ids
    }
}

impl Drop for TypeIds {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            let mut types = self.registry.types();
            self.ids.iter().for_each(|id| types.remove(*id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_forgotten_with_the_last_that_has_them() {
        let registry = Arc::new(TypeRegistry::default());
        let register = |types: &[&[u8]]| TypeIds::new(types.iter().copied(), &registry);
        let first = register(&[b"a", b"b", b"a"]);
        assert_eq!(first[..], [0, 1, 0]);
        let second = register(&[b"b", b"c"]);
        assert_eq!(second[..], [1, 2]);
        drop(first);
        assert_eq!(registry.bytes(0), None);
        assert_eq!(registry.bytes(1).as_deref(), Some(&b"b"[..]));
        // The number is another type's then.
        let third = register(&[b"d", b"e", b"c"]);
        assert_eq!(third[..], [0, 3, 2]);
        drop((second, third));
        let types = registry.types();
        assert!(types.ids.is_empty() && types.known.iter().all(Option::is_none));
        assert_eq!(types.free.len(), 4);
    }
}
