fn call(func: cwasm::TypedFunc<(), (cwasm::WasmStr,)>, store: &mut cwasm::Store<()>) {
    // Post-return would free what the view reads.
    let _ = func.call(store, ());
}

fn main() {
    let call: fn(_, _) = call;
    std::hint::black_box(call);
}
