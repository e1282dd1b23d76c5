//! Metrics of an engine.

use cwasm::{Config, Engine, Linker, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

const TRAPS: &str = r#"(component
  (import "refuse" (func $refuse))
  (core func $refuse (canon lower (func $refuse)))
  (core module $m
    (import "" "refuse" (func $refuse))
    (memory 1)
    (func (export "stop") unreachable)
    (func (export "refused") (call $refuse))
    (func (export "fine")))
  (core instance $i (instantiate $m (with "" (instance (export "refuse" (func $refuse))))))
  (func (export "stop") (canon lift (core func $i "stop")))
  (func (export "refused") (canon lift (core func $i "refused")))
  (func (export "fine") (canon lift (core func $i "fine"))))"#;

#[test]
fn artifacts_mappings_and_traps_are_counted() {
    let workshop = Workshop::with_config(Config::new().max_idle_instances(0).max_mappings(1000));
    let engine = workshop.engine().clone();
    let empty = engine.metrics();
    assert_eq!(
        (empty.artifacts, empty.artifact_bytes, empty.mappings),
        (0, 0, 0)
    );
    assert_eq!((empty.max_mappings, &empty.traps[..]), (1000, &[][..]));

    let artifact = workshop.compile(&wat::parse_str(TRAPS).unwrap()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let other = workshop.map_component(&artifact).unwrap();
    let mapped = engine.metrics();
    assert_eq!(mapped.artifacts, 2);
    assert_eq!(mapped.artifact_bytes, 2 * artifact.len() as u64);
    drop(other);

    let mut linker = Linker::new(&engine);
    let refuse = |_: cwasm::StoreContextMut<'_, ()>, (): ()| Err::<(), _>("no".into());
    linker.root().func_wrap("refuse", refuse).unwrap();
    for (name, count) in [("fine", 3), ("stop", 2), ("refused", 1)] {
        for _ in 0..count {
            let mut store = Store::new(&engine, ());
            let instance = linker.instantiate(&mut store, &component).unwrap();
            assert!(engine.metrics().mappings > 0, "it has a memory");
            let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            assert_eq!(func.call(&mut store, ()).is_ok(), name == "fine");
        }
    }
    let metrics = engine.metrics();
    assert_eq!(metrics.artifacts, 1);
    let traps = [(TrapCode::Unreachable, 2), (TrapCode::HostError, 1)];
    let mut found = metrics.traps.clone();
    found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    assert_eq!(found, traps);

    // An instance keeps its artifact.
    let mut store = Store::new(&engine, ());
    linker.instantiate(&mut store, &component).unwrap();
    drop((component, workshop));
    assert_eq!(engine.metrics().artifacts, 1);
    drop(store);
    let left = engine.metrics();
    assert_eq!(
        (left.artifacts, left.artifact_bytes, left.mappings),
        (0, 0, 0)
    );
    assert_eq!(Engine::default().metrics().traps, []);
}
