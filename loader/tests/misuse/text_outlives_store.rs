fn text(view: &cwasm::WasmStr, store: cwasm::Store<()>) -> String {
    let text = view.to_str(&store).unwrap();
    drop(store);
    text.into_owned()
}

fn main() {}
