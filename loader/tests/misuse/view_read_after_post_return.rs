fn read(func: cwasm::TypedFunc<(), (cwasm::WasmStr,)>, mut store: cwasm::Store<()>) {
    let result = func.call_deferred(&mut store, ()).unwrap();
    func.post_return(&mut store, result).unwrap();
    println!("{}", result.0.to_str(&store).unwrap());
}

fn main() {}
