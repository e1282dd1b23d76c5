fn call(func: cwasm::TypedFunc<(), (&'static str,)>, store: &mut cwasm::Store<()>) {
    let _ = func.call(store, ());
}

fn main() {}
