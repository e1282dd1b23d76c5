fn read(func: cwasm::TypedFunc<(), (cwasm::WasmStr,)>, mut store: cwasm::Store<()>) -> String {
    let result = func.call_deferred(&mut store, ()).unwrap();
    let text = result.0.to_str(&store).unwrap();
    func.post_return(&mut store, result).unwrap();
    text.into_owned()
}

fn main() {}
