fn call(func: cwasm::TypedFunc<(), (cwasm::WasmStr,)>, store: &mut cwasm::Store<()>) {
    let result = func.call_deferred(&mut *store, ()).unwrap();
    func.post_return(&mut *store, result).unwrap();
    func.post_return(&mut *store, result).unwrap();
}

fn main() {}
