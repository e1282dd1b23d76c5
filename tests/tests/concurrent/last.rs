//! What a guest sees of reads and writes of the host: how many payloads have passed, and whether
//! the host's end is closed.

use cwasm::{
    Instance, Linker, Result, Store, StoreContextMut, StreamReader, StreamWriter, block_on,
};
use cwasm_tests::artifact::Workshop;

use crate::streams::{both, turn};

/// `read(s, n)` reads n bytes once, closes its stream, and returns what the read has said.
/// `write(n)` returns a stream, writes n bytes to it once, closes it, and notes what the write has
/// said.
const GUEST: &str = r#"(component
  (import "note" (func $note (param "n" u32)))
  (core module $libc (memory (export "mem") 1))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (type $bytes (stream u8))
  (core module $m
    (import "" "note" (func $note (param i32)))
    (import "" "return" (func $return (param i32)))
    (import "" "return-stream" (func $return-stream (param i32)))
    (import "" "new" (func $new (result i64)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "drop-readable" (func $drop-readable (param i32)))
    (import "" "drop-writable" (func $drop-writable (param i32)))
    (import "" "set.new" (func $set.new (result i32)))
    (import "" "join" (func $join (param i32 i32)))
    (func $wait (param $handle i32) (result i32) (local $set i32)
      (local.set $set (call $set.new))
      (call $join (local.get $handle) (local.get $set))
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
    (func $was-read (param $handle i32) (param $result i32) (result i32)
      (if (i32.eq (local.get $result) (i32.const -1))
        (then (return (call $wait (local.get $handle)))))
      (call $join (local.get $handle) (i32.const 0))
      (call $drop-readable (local.get $handle))
      (call $return (local.get $result))
      (i32.const 0))
    (func (export "read") (param $handle i32) (param $n i32) (result i32)
      (call $was-read (local.get $handle)
        (call $read (local.get $handle) (i32.const 0) (local.get $n))))
    (func (export "read-cb") (param i32 i32 i32) (result i32)
      (call $was-read (local.get 1) (local.get 2)))
    (func $was-written (param $handle i32) (param $result i32) (result i32)
      (if (i32.eq (local.get $result) (i32.const -1))
        (then (return (call $wait (local.get $handle)))))
      (call $join (local.get $handle) (i32.const 0))
      (call $drop-writable (local.get $handle))
      (call $note (local.get $result))
      (i32.const 0))
    (func (export "write") (param $n i32) (result i32) (local $ends i64) (local $handle i32)
      (local.set $ends (call $new))
      (call $return-stream (i32.wrap_i64 (local.get $ends)))
      (local.set $handle (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
      (call $was-written (local.get $handle)
        (call $write (local.get $handle) (i32.const 0) (local.get $n))))
    (func (export "write-cb") (param i32 i32 i32) (result i32)
      (call $was-written (local.get 1) (local.get 2))))
  (core func $note (canon lower (func $note)))
  (canon task.return (result u32) (core func $return))
  (canon task.return (result $bytes) (core func $return-stream))
  (canon stream.new $bytes (core func $new))
  (canon stream.read $bytes async (memory $mem) (core func $read))
  (canon stream.write $bytes async (memory $mem) (core func $write))
  (canon stream.drop-readable $bytes (core func $drop-readable))
  (canon stream.drop-writable $bytes (core func $drop-writable))
  (canon waitable-set.new (core func $set.new))
  (canon waitable.join (core func $join))
  (core instance $i (instantiate $m (with "" (instance
    (export "note" (func $note)) (export "return" (func $return))
    (export "return-stream" (func $return-stream)) (export "new" (func $new))
    (export "read" (func $read)) (export "write" (func $write))
    (export "drop-readable" (func $drop-readable)) (export "drop-writable" (func $drop-writable))
    (export "set.new" (func $set.new)) (export "join" (func $join))))))
  (func (export "read") async (param "s" $bytes) (param "n" u32) (result u32)
    (canon lift (core func $i "read") async (callback (core func $i "read-cb"))))
  (func (export "write") async (param "n" u32) (result $bytes)
    (canon lift (core func $i "write") async (callback (core func $i "write-cb")))))"#;

const COMPLETED: u32 = 0;
const DROPPED: u32 = 1;

/// What a read or write of so many says.
fn said(count: u32, how: u32) -> u32 {
    count << 4 | how
}

/// A store, whose data are what the guest has noted.
fn guest() -> (Store<Vec<u32>>, Instance) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::<Vec<u32>>::new(workshop.engine());
    let note = |mut store: StoreContextMut<'_, Vec<u32>>, (n,): (u32,)| {
        store.data_mut().push(n);
        Ok(())
    };
    linker.root().func_wrap("note", note).unwrap();
    let mut store = Store::new(workshop.engine(), Vec::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// The guest reads `n` of what the host writes: what it sees, and what is left.
fn read_by_guest(count: u8, n: u32, is_last: bool, host_is_first: bool) -> (u32, usize) {
    let (mut store, instance) = guest();
    let read = instance
        .get_typed_func::<(StreamReader<u8>, u32), (u32,)>(&mut store, "read")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let call = async {
            if host_is_first {
                turn().await;
            }
            read.call_concurrent(accessor, (reader, n)).await
        };
        let items = (0..count).collect();
        let written = async {
            match is_last {
                true => writer.write_last(accessor, items).await,
                false => {
                    let left = writer.write_all(accessor, items).await?;
                    accessor.with(|store| writer.close(store))?;
                    Ok(left)
                }
            }
        };
        both(call, written).await
    });
    let (seen, left) = block_on(run).unwrap();
    (seen.unwrap().0, left.unwrap().len())
}

#[test]
fn a_stream_ends_with_its_last_payload() {
    for host_is_first in [false, true] {
        let read = |count, n, is_last| read_by_guest(count, n, is_last, host_is_first);
        assert_eq!(read(3, 8, true), (said(3, DROPPED), 0));
        assert_eq!(read(8, 8, true), (said(8, DROPPED), 0));
        assert_eq!(read(9, 8, true), (said(8, COMPLETED), 1));
        assert_eq!(read(0, 8, true), (said(0, DROPPED), 0));
    }
    // The host's write is over before its end is closed: the guest has read by then, or sees both.
    assert_eq!(read_by_guest(3, 8, false, true), (said(3, COMPLETED), 0));
    assert_eq!(read_by_guest(3, 8, false, false), (said(3, DROPPED), 0));
}

/// The host reads `n` of what the guest writes: what it gets, and what the guest sees.
fn written_by_guest(count: u32, n: usize, is_last: bool, host_is_first: bool) -> (usize, Vec<u32>) {
    let (mut store, instance) = guest();
    let write = instance
        .get_typed_func::<(u32,), (StreamReader<u8>,)>(&mut store, "write")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (mut reader,) = write.call_concurrent(accessor, (count,)).await?;
        if !host_is_first {
            turn().await;
        }
        let found = match is_last {
            true => reader.read_last(accessor, n).await?,
            false => {
                let found = reader.read(accessor, n).await?;
                turn().await;
                accessor.with(|store| reader.close(store))?;
                found
            }
        };
        turn().await;
        Ok::<_, cwasm::Error>(found.len())
    });
    let found = block_on(run).unwrap().unwrap();
    (found, store.data().clone())
}

#[test]
fn a_reader_closes_with_its_last_read() {
    for host_is_first in [false, true] {
        let write = |count, n, is_last| written_by_guest(count, n, is_last, host_is_first);
        assert_eq!(write(3, 8, true), (3, vec![said(3, DROPPED)]));
        assert_eq!(write(8, 3, true), (3, vec![said(3, DROPPED)]));
        assert_eq!(write(8, 3, false), (3, vec![said(3, COMPLETED)]));
    }
}

#[test]
fn the_host_waits_until_a_guest_is_ready() {
    let (mut store, instance) = guest();
    let write = instance
        .get_typed_func::<(u32,), (StreamReader<u8>,)>(&mut store, "write")
        .unwrap();
    let read = instance
        .get_typed_func::<(StreamReader<u8>, u32), (u32,)>(&mut store, "read")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let noted = || accessor.with(|store| store.data().len());
        // The guest's write of nothing is over when the host waits; the host's wait goes on.
        let (mut reader,) = write.call_concurrent(accessor, (0,)).await?;
        turn().await;
        assert_eq!(noted(), 0);
        reader.ready(accessor).await?;
        turn().await;
        assert_eq!(noted(), 1);
        assert!(reader.read(accessor, 9).await?.is_empty());
        accessor.with(|store| reader.close(store))?;

        // Its write of something waits for a read.
        let (mut reader,) = write.call_concurrent(accessor, (5,)).await?;
        reader.ready(accessor).await?;
        turn().await;
        assert_eq!(noted(), 1);
        assert_eq!(reader.read(accessor, 9).await?.len(), 5);
        accessor.with(|store| reader.close(store))?;

        // The same of reads.
        for n in [0, 4] {
            let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
            let call = read.call_concurrent(accessor, (reader, n));
            let write = async {
                writer.ready(accessor).await?;
                let left = writer.write_all(accessor, vec![7; 9]).await?;
                accessor.with(|store| writer.close(store))?;
                Ok::<_, cwasm::Error>(left.len())
            };
            let (seen, left) = both(call, write).await;
            assert_eq!((seen?.0, left?), (said(n, COMPLETED), 9 - n as usize));
        }
        Ok::<_, cwasm::Error>(())
    });
    block_on(run).unwrap().unwrap();
    // The reader was closed before the guest could see that its write is over.
    assert_eq!(*store.data(), [said(0, COMPLETED), said(5, DROPPED)]);
}

#[test]
fn both_ends_of_the_host_end_with_the_last_payload() -> Result<()> {
    let (mut store, _) = guest();
    let run = store.run_concurrent(async |accessor| {
        let (writer, mut reader) = accessor.with(|store| StreamWriter::pair(store));
        let (left, found) = both(
            writer.write_last(accessor, vec![1_u8, 2, 3]),
            reader.read(accessor, 9),
        )
        .await;
        assert_eq!((left?, found?), (vec![], vec![1, 2, 3]));
        assert!(reader.read(accessor, 9).await?.is_empty());
        accessor.with(|store| reader.close(store))?;

        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let ready = async {
            writer.ready(accessor).await?;
            writer.write(accessor, vec![4_u8, 5]).await
        };
        let (left, found) = both(ready, reader.read_last(accessor, 1)).await;
        assert_eq!((left?, found?), (vec![5], vec![4]));
        assert_eq!(writer.write(accessor, vec![6]).await?, [6]);
        accessor.with(|store| writer.close(store))
    });
    block_on(run)?
}
