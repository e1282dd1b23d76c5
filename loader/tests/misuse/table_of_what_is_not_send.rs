use std::rc::Rc;

fn main() {
    let mut table = cwasm::ResourceTable::new();
    let _ = table.push(Rc::new(1u32));
}
