fn read(
    view: &cwasm::WasmList<u8>,
    func: cwasm::TypedFunc<(), ()>,
    mut store: cwasm::Store<()>,
) -> u8 {
    let bytes = view.as_le_slice(&store).unwrap();
    func.call(&mut store, ()).unwrap();
    bytes[0]
}

fn main() {}
