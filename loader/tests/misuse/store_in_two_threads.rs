use std::thread;

fn both(func: cwasm::TypedFunc<(), ()>, store: &mut cwasm::Store<()>) {
    thread::scope(|scope| {
        scope.spawn(|| func.call(&mut *store, ()));
        scope.spawn(|| func.call(&mut *store, ()));
    });
}

fn main() {}
