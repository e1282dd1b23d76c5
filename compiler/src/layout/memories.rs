//! Memories: their order, how much address space they reserve, and whether accesses are compared
//! with their sizes.

use std::collections::HashMap;

use cwasm_format::data::{
    CHECKED_GUARD_SIZE, GUARD_SIZE, MAX_RESERVATION, MemoryRecord, RESERVATION_32,
};
use cwasm_format::header::PAGE_SIZE;
use cwasm_format::vmctx::VmMemory;

use super::Builder;
use super::image::Image;
use super::order::Target;
use crate::env::{Env, MemoryBase, MemoryLoc};
use crate::module::Module;
use crate::options::Bounds;
use crate::plan::{CoreDef, CoreItem, InstanceId, Plan};

/// Address space that a memory whose accesses are checked reserves to grow into, if its initial
/// size is smaller and its maximum is not.
const RESERVATION_CHECKED: u64 = 1 << 34;

impl<'a> Builder<'a> {
    /// Numbers the memories. The one that is used by most code becomes the first.
    pub(super) fn memories(&mut self, plan: &Plan, modules: &[Module<'_>]) {
        let mut found: Vec<(CoreItem, u64)> = Vec::new();
        let mut places: HashMap<CoreItem, usize> = HashMap::new();
        for (id, instance) in plan.instances.iter().enumerate() {
            let module = &modules[instance.module.0 as usize];
            let code = module.code_size();
            let instance_id = InstanceId(id as u32);
            for index in module.imported_memories..module.memories.len() as u32 {
                let item = CoreItem {
                    instance: instance_id,
                    index,
                };
                places.insert(item, found.len());
                found.push((item, code));
            }
            for import in &instance.imports {
                if let CoreDef::Memory(item) = import
                    && let Some(place) = places.get(item)
                {
                    found[*place].1 += code;
                }
            }
        }
        // Stable: among equals the one defined first.
        found.sort_by_key(|(_, code)| std::cmp::Reverse(*code));
        for (number, (item, _)) in found.iter().enumerate() {
            let module = &modules[plan.instances[item.instance.0 as usize].module.0 as usize];
            let record = self.memory_record(&module.memories[item.index as usize]);
            self.memory_numbers.insert(*item, number as u32);
            self.unit.memories.push(record);
            self.unit.images.push(Image::default());
            self.memory_orders.push(Target::default());
        }
    }

    pub(super) fn memory_record(&mut self, ty: &wasmparser::MemoryType) -> MemoryRecord {
        let page_log2 = page_log2(ty);
        let most = if ty.memory64 {
            1u64.checked_shl(64 - page_log2).unwrap_or(u64::MAX)
        } else {
            u64::from(u32::MAX).min((1 << 32) >> page_log2)
        };
        let max = ty.maximum.unwrap_or(most);
        let is_checked = is_checked(ty, self.bounds);
        let (reservation, guard_size) = if is_checked {
            // All that it can need, up to a limit that most machines can reserve.
            let usual = byte_len(max, page_log2).min(RESERVATION_CHECKED);
            let size = usual.max(byte_len(ty.initial, page_log2));
            let size = size.min(MAX_RESERVATION).next_multiple_of(PAGE_SIZE);
            (size.max(PAGE_SIZE), CHECKED_GUARD_SIZE)
        } else {
            (RESERVATION_32, GUARD_SIZE)
        };
        MemoryRecord {
            slot: self.reserve(size_of::<VmMemory>(), 8),
            page_log2: page_log2 as u8,
            is_checked: is_checked.into(),
            is_shared: ty.shared.into(),
            min: ty.initial,
            max,
            guard_size,
            reservation,
        }
    }

    pub(super) fn define_memories(&mut self, env: &mut Env<'a>) {
        for index in env.module.imported_memories..env.module.memories.len() as u32 {
            let instance = InstanceId(env.instance);
            let number = self.memory_numbers[&CoreItem { instance, index }];
            let record = self.unit.memories[number as usize];
            let ty = &env.module.memories[index as usize];
            let desc = record.slot;
            let base = if number == 0 {
                // The context's size is set at the end.
                MemoryBase::First {
                    context_size: 0,
                    desc,
                }
            } else {
                MemoryBase::Own { desc }
            };
            self.memory_orders[number as usize] = self.order.target();
            env.memories.push(MemoryLoc {
                base,
                min_byte_len: byte_len(record.min, page_log2(ty)),
                reservation: record.reservation,
                guard_size: record.guard_size,
                is_64: ty.memory64,
                is_checked: record.is_checked == 1,
                is_fixed: ty.maximum == Some(ty.initial),
                is_shared: ty.shared,
                page_log2: page_log2(ty),
            });
        }
    }
}

/// Where an imported memory is, and the reservation and guard that code relies on.
pub(super) fn imported_memory(ty: &wasmparser::MemoryType, slot: u32, bounds: Bounds) -> MemoryLoc {
    let page_log2 = page_log2(ty);
    MemoryLoc {
        base: MemoryBase::Import { slot },
        min_byte_len: byte_len(ty.initial, page_log2),
        reservation: RESERVATION_32,
        guard_size: GUARD_SIZE,
        is_64: ty.memory64,
        is_checked: is_checked(ty, bounds),
        is_fixed: ty.maximum == Some(ty.initial),
        is_shared: ty.shared,
        page_log2,
    }
}

pub(super) fn page_log2(ty: &wasmparser::MemoryType) -> u32 {
    ty.page_size_log2.unwrap_or(16)
}

/// The bytes of a number of pages; saturates at the largest `u64`.
pub(super) fn byte_len(pages: u64, page_log2: u32) -> u64 {
    pages.saturating_mul(1 << page_log2)
}

/// Whether each access is compared with the size: because the options say so, indices reach beyond
/// any reservation, or the memory may end inside a page of the machine.
pub(super) fn is_checked(ty: &wasmparser::MemoryType, bounds: Bounds) -> bool {
    bounds == Bounds::Check || ty.memory64 || 1 << page_log2(ty) < PAGE_SIZE
}
