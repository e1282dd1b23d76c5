//! Maps: `HashMap` and `BTreeMap`. A map is a list of pairs, and a guest may give a key
//! twice: the last pair counts ("Specialized value types" in the component model's `Explainer.md`).

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use cwasm_format::TrapCode;
use cwasm_format::abi::{Flat, Layout, field_offsets};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{Types, ValueType};

use super::lists::{elements_extent, list_bytes, out_of_memory};
use super::seal::Seal;
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, tuples};
use super::{pair_of_bytes, pair_of_flat, pair_to_flat, pair_to_memory};
use crate::error::Result;
use crate::values::handles::HandleType;

/// Copies the pairs to the guest's memory: pointer and length.
fn lower_pairs<'p, K: Lower + 'p, V: Lower + 'p>(
    pairs: impl ExactSizeIterator<Item = (&'p K, &'p V)>,
    cx: &mut LowerContext<'_>,
) -> Result<(u64, u64)> {
    let len = pairs.len() as u64;
    let pair = <(K, V)>::LAYOUT.at(cx.width());
    let [key, value] =
        const { field_offsets([K::LAYOUT, V::LAYOUT]) }.map(|offset| offset.at(cx.width()));
    let pointer = cx.allocate(elements_extent(len, pair)?, TrapCode::ListOutOfBounds)?;
    for (index, (k, v)) in pairs.enumerate() {
        let offset = pointer + index * pair.size as usize;
        k.store(cx, offset + key)?;
        cx.skip_handles(K::HANDLES);
        v.store(cx, offset + value)?;
        cx.rewind_handles(K::HANDLES);
    }
    Ok((pointer as u64, len))
}

/// Gives each pair to `insert`, in the guest's order.
fn lift_pairs<K: Lift, V: Lift>(
    cx: &mut LiftContext<'_>,
    pair: (u64, u64),
    mut insert: impl FnMut(K, V) -> Result<()>,
) -> Result<()> {
    let bytes = list_bytes::<(K, V)>(cx, pair)?;
    cx.charge_block(pair.1 as usize, size_of::<(K, V)>())?;
    let size = <(K, V)>::LAYOUT.at(cx.width()).size.max(1) as usize;
    for bytes in bytes.chunks_exact(size) {
        let (key, value) = Lift::load(cx, bytes)?;
        insert(key, value)?;
    }
    Ok(())
}

fn lift_hash_map<K, V, S>(cx: &mut LiftContext<'_>, pair: (u64, u64)) -> Result<HashMap<K, V, S>>
where
    K: Lift + Eq + Hash,
    V: Lift,
    S: BuildHasher + Default,
{
    let mut map = HashMap::default();
    lift_pairs(cx, pair, |key, value| {
        // Not for all at once: a guest can give the same few keys again and again.
        map.try_reserve(1).map_err(out_of_memory)?;
        map.insert(key, value);
        Ok(())
    })?;
    Ok(map)
}

fn lift_tree_map<K, V>(cx: &mut LiftContext<'_>, pair: (u64, u64)) -> Result<BTreeMap<K, V>>
where
    K: Lift + Ord,
    V: Lift,
{
    let mut map = BTreeMap::new();
    lift_pairs(cx, pair, |key, value| {
        map.insert(key, value);
        Ok(())
    })?;
    Ok(map)
}

macro_rules! map {
    ($map:ty, [$($hasher:ident)?], [$($lift:tt)*], $lift_map:ident) => {
        impl<K: ComponentType, V: ComponentType $(, $hasher)?> ComponentType for $map {
            // The constants are those of `map<K, V>`.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = TypeHash::of_parts(Tag::Map, &[<(K, V)>::HASH]);
            const LAYOUT: Layout = Layout::POINTER_PAIR;
            const FLAT: Flat = Flat::POINTER_PAIR;
            const HOLDS_VIEWS: bool = K::HOLDS_VIEWS || V::HOLDS_VIEWS;
            const HAS_POINTERS: bool = true;
            const HANDLES: usize = <(K, V)>::HANDLES;

            fn handles(found: &mut Vec<HandleType>) {
                <(K, V)>::handles(found);
            }

            fn describe(types: &mut Types) -> Option<ValueType> {
                let key = tuples::describe_part::<K>(types);
                let value = tuples::describe_part::<V>(types);
                Some(ValueType::Def(types.push_map(key, value)))
            }
        }

        impl<K: Lower, V: Lower $(, $hasher)?> Lower for $map {
            // Writes pointer and length of the pairs in the guest's memory.
            const SEAL: Seal = Seal::KEPT;

            fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
                pair_to_flat(lower_pairs(self.iter(), cx)?, out);
                Ok(())
            }

            fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
                let pair = lower_pairs(self.iter(), cx)?;
                pair_to_memory(pair, cx, offset);
                Ok(())
            }
        }

        impl<K: Lift + $($lift)*> Lift for $map {
            // Reads pointer and length, and all pairs.
            const SEAL: Seal = Seal::KEPT;

            fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                let pair = pair_of_flat(cx, flat);
                $lift_map(cx, pair)
            }

            fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                let pair = pair_of_bytes(cx, bytes);
                $lift_map(cx, pair)
            }
        }
    };
}

map!(HashMap<K, V, S>, [S], [Eq + Hash, V: Lift, S: BuildHasher + Default], lift_hash_map);
map!(BTreeMap<K, V>, [], [Ord, V: Lift], lift_tree_map);
