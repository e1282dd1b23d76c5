//! The module `spectest` that core scripts import from.

use std::collections::HashMap;

use cwasm::{
    CoreFunc, CoreGlobal, CoreMemory, CoreTable, CoreVal, Extern, FuncType, Result, Store, ValType,
};

/// All items of `spectest`, by name.
///
/// # Errors
/// If there is not enough memory.
pub(crate) fn items(store: &mut Store<()>) -> Result<HashMap<&'static str, Extern>> {
    use ValType::{F32, F64, I32, I64};
    let mut items = HashMap::new();
    let prints: [(&'static str, &[ValType]); 7] = [
        ("print", &[]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ];
    for (name, params) in prints {
        let func = CoreFunc::new(
            &mut *store,
            FuncType::new(params.iter().copied(), []),
            |_| Ok(Vec::new()),
        );
        items.insert(name, Extern::Func(func));
    }
    let globals = [
        ("global_i32", CoreVal::I32(666)),
        ("global_i64", CoreVal::I64(666)),
        ("global_f32", CoreVal::F32(666.6_f32.to_bits())),
        ("global_f64", CoreVal::F64(666.6_f64.to_bits())),
    ];
    for (name, value) in globals {
        let global = CoreGlobal::new(&mut *store, value.ty(), false, value)?;
        items.insert(name, Extern::Global(global));
    }
    let table = CoreTable::new(&mut *store, ValType::FUNCREF, 10, Some(20))?;
    items.insert("table", Extern::Table(table));
    let memory = CoreMemory::new(&mut *store, 1, Some(2))?;
    items.insert("memory", Extern::Memory(memory));
    Ok(items)
}
