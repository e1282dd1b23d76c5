//! Streams and futures of which the host has an end.

use cwasm::{
    Accessor, Component, Engine, FutureReader, FutureWriter, Instance, Linker, Result, Store,
    StoreLimits, StreamAny, StreamReader, StreamWriter, Val, block_on,
};
use cwasm_tests::artifact::Workshop;

/// `sum(s)` reads a stream in pieces of at most 16 bytes. `count(n)` returns a stream, to which it
/// writes 0, 1, 2, ... n - 1 (modulo 256), eight at a time. `words(s)` reads strings of a stream,
/// one after the other: the sum of their lengths. `pass` returns its stream, `late` its future.
/// `close(s)` closes its stream.
const GUEST: &str = r#"(component
  (core module $libc (memory (export "mem") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "mem" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))
  (type $bytes (stream u8))
  (type $strings (stream string))
  (type $later (future string))
  (core module $m
    (import "" "mem" (memory 1))
    (import "" "return" (func $return (param i32)))
    (import "" "return-stream" (func $return-stream (param i32)))
    (import "" "return-future" (func $return-future (param i32)))
    (import "" "return-none" (func $return-none))
    (import "" "new" (func $new (result i64)))
    (import "" "read" (func $read (param i32 i32 i32) (result i32)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "drop-readable" (func $drop-readable (param i32)))
    (import "" "drop-writable" (func $drop-writable (param i32)))
    (import "" "read-words" (func $read-words (param i32 i32 i32) (result i32)))
    (import "" "drop-words" (func $drop-words (param i32)))
    (import "" "set.new" (func $set.new (result i32)))
    (import "" "join" (func $join (param i32 i32)))
    (global $sum (mut i32) (i32.const 0))
    (global $left (mut i32) (i32.const 0))
    (global $byte (mut i32) (i32.const 0))
    (func $wait (param $handle i32) (result i32) (local $set i32)
      (local.set $set (call $set.new))
      (call $join (local.get $handle) (local.get $set))
      (i32.or (i32.const 2) (i32.shl (local.get $set) (i32.const 4))))
    ;; What was read is added up; -1 if there is no more.
    (func $got (param $handle i32) (param $result i32) (result i32) (local $at i32)
      (loop $more
        (if (i32.lt_u (local.get $at) (i32.shr_u (local.get $result) (i32.const 4))) (then
          (global.set $sum (i32.add (global.get $sum) (i32.load8_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $more))))
      (if (i32.and (local.get $result) (i32.const 1)) (then
        (call $join (local.get $handle) (i32.const 0))
        (call $drop-readable (local.get $handle))
        (call $return (global.get $sum))
        (return (i32.const 0))))
      (i32.const 1))
    (func $sum (export "sum") (param $handle i32) (result i32) (local $result i32)
      (loop $again
        (local.set $result (call $read (local.get $handle) (i32.const 0) (i32.const 16)))
        (if (i32.eq (local.get $result) (i32.const -1))
          (then (return (call $wait (local.get $handle)))))
        (br_if $again (call $got (local.get $handle) (local.get $result))))
      (i32.const 0))
    (func (export "sum-cb") (param $code i32) (param $handle i32) (param $result i32) (result i32)
      (if (i32.ne (local.get $code) (i32.const 2)) (then unreachable))
      (if (i32.eqz (call $got (local.get $handle) (local.get $result)))
        (then (return (i32.const 0))))
      (call $sum (local.get $handle)))
    ;; Writes the next eight; zero when all are written.
    (func $put (param $handle i32) (result i32) (local $at i32)
      (loop $more
        (if (i32.and (i32.lt_u (local.get $at) (i32.const 8))
            (i32.lt_u (local.get $at) (global.get $left))) (then
          (i32.store8 offset=64 (local.get $at) (i32.add (global.get $byte) (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $more))))
      (call $write (local.get $handle) (i32.const 64) (local.get $at)))
    (func $wrote (param $result i32)
      (local.set $result (i32.shr_u (local.get $result) (i32.const 4)))
      (global.set $left (i32.sub (global.get $left) (local.get $result)))
      (global.set $byte (i32.add (global.get $byte) (local.get $result))))
    (func $go (param $handle i32) (result i32) (local $result i32)
      (loop $again
        (if (i32.eqz (global.get $left)) (then
          (call $join (local.get $handle) (i32.const 0))
          (call $drop-writable (local.get $handle))
          (return (i32.const 0))))
        (local.set $result (call $put (local.get $handle)))
        (if (i32.eq (local.get $result) (i32.const -1))
          (then (return (call $wait (local.get $handle)))))
        (call $wrote (local.get $result))
        (if (i32.and (local.get $result) (i32.const 1)) (then (global.set $left (i32.const 0))))
        (br $again))
      unreachable)
    (func (export "count") (param $n i32) (result i32) (local $ends i64)
      (global.set $left (local.get $n))
      (local.set $ends (call $new))
      (call $return-stream (i32.wrap_i64 (local.get $ends)))
      (call $go (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32)))))
    (func (export "count-cb") (param $code i32) (param $handle i32) (param $result i32) (result i32)
      (if (i32.ne (local.get $code) (i32.const 3)) (then unreachable))
      (call $wrote (local.get $result))
      (if (i32.and (local.get $result) (i32.const 1)) (then (global.set $left (i32.const 0))))
      (call $go (local.get $handle)))
    (func $word (param $handle i32) (param $result i32) (result i32)
      (if (i32.shr_u (local.get $result) (i32.const 4)) (then
        (global.set $sum (i32.add (global.get $sum) (i32.load (i32.const 132))))))
      (if (i32.and (local.get $result) (i32.const 1)) (then
        (call $join (local.get $handle) (i32.const 0))
        (call $drop-words (local.get $handle))
        (call $return (global.get $sum))
        (return (i32.const 0))))
      (i32.const 1))
    (func $words (export "words") (param $handle i32) (result i32) (local $result i32)
      (loop $again
        (local.set $result (call $read-words (local.get $handle) (i32.const 128) (i32.const 1)))
        (if (i32.eq (local.get $result) (i32.const -1))
          (then (return (call $wait (local.get $handle)))))
        (br_if $again (call $word (local.get $handle) (local.get $result))))
      (i32.const 0))
    (func (export "words-cb") (param $code i32) (param $handle i32) (param $result i32) (result i32)
      (if (i32.eqz (call $word (local.get $handle) (local.get $result)))
        (then (return (i32.const 0))))
      (call $words (local.get $handle)))
    (func (export "pass") (param i32) (result i32)
      (call $return-stream (local.get 0)) (i32.const 0))
    (func (export "late") (param i32) (result i32)
      (call $return-future (local.get 0)) (i32.const 0))
    (func (export "close") (param i32) (result i32)
      (call $drop-readable (local.get 0)) (call $return-none) (i32.const 0))
    (func (export "no-cb") (param i32 i32 i32) (result i32) unreachable))
  (canon task.return (result u32) (core func $return))
  (canon task.return (result $bytes) (core func $return-stream))
  (canon task.return (result $later) (core func $return-future))
  (canon task.return (core func $return-none))
  (canon stream.new $bytes (core func $new))
  (canon stream.read $bytes async (memory $mem) (core func $read))
  (canon stream.write $bytes async (memory $mem) (core func $write))
  (canon stream.drop-readable $bytes (core func $drop-readable))
  (canon stream.drop-writable $bytes (core func $drop-writable))
  (canon stream.read $strings async (memory $mem) (realloc $realloc) (core func $read-words))
  (canon stream.drop-readable $strings (core func $drop-words))
  (canon waitable-set.new (core func $set.new))
  (canon waitable.join (core func $join))
  (core instance $i (instantiate $m (with "" (instance
    (export "mem" (memory $mem))
    (export "return" (func $return)) (export "return-stream" (func $return-stream))
    (export "return-future" (func $return-future)) (export "return-none" (func $return-none))
    (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))
    (export "drop-readable" (func $drop-readable)) (export "drop-writable" (func $drop-writable))
    (export "read-words" (func $read-words)) (export "drop-words" (func $drop-words))
    (export "set.new" (func $set.new)) (export "join" (func $join))))))
  (func (export "sum") async (param "s" $bytes) (result u32)
    (canon lift (core func $i "sum") async (callback (core func $i "sum-cb"))))
  (func (export "count") async (param "n" u32) (result $bytes)
    (canon lift (core func $i "count") async (callback (core func $i "count-cb"))))
  (func (export "words") async (param "s" $strings) (result u32)
    (canon lift (core func $i "words") async (callback (core func $i "words-cb"))))
  (func (export "pass") async (param "s" $bytes) (result $bytes)
    (canon lift (core func $i "pass") async (callback (core func $i "no-cb"))))
  (func (export "late") async (param "f" $later) (result $later)
    (canon lift (core func $i "late") async (callback (core func $i "no-cb"))))
  (func (export "close") async (param "s" $bytes)
    (canon lift (core func $i "close") async (callback (core func $i "no-cb")))))"#;

type Bytes = StreamReader<u8>;

fn guest() -> (Store<()>, Instance) {
    let workshop = Workshop::new();
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    instantiate(workshop.engine(), &component)
}

fn instantiate(engine: &Engine, component: &Component) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine)
        .instantiate(&mut store, component)
        .unwrap();
    (store, instance)
}

/// Runs two futures together.
pub(crate) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|context| {
        if first.is_none()
            && let std::task::Poll::Ready(value) = a.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let std::task::Poll::Ready(value) = b.as_mut().poll(context)
        {
            second = Some(value);
        }
        match first.is_some() && second.is_some() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

/// Lets the others of the store go on.
pub(crate) async fn turn() {
    let mut is_over = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_over, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Writes all, and closes the stream.
async fn write(accessor: &Accessor<()>, mut to: StreamWriter<u8>, bytes: Vec<u8>) -> Vec<u8> {
    let left = to.write_all(accessor, bytes).await.unwrap();
    accessor.with(|store| to.close(store)).unwrap();
    left
}

#[test]
fn a_guest_reads_what_the_host_writes() {
    for count in [0, 1, 15, 16, 17, 32, 1000] {
        let (mut store, instance) = guest();
        let sum = instance
            .get_typed_func::<(Bytes,), (u32,)>(&mut store, "sum")
            .unwrap();
        let bytes: Vec<u8> = (0..count).map(|byte| byte as u8).collect();
        let expected: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        let run = store.run_concurrent(async |accessor| {
            let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
            let called = sum.call_concurrent(accessor, (reader,));
            both(called, write(accessor, writer, bytes)).await
        });
        let (found, left) = block_on(run).unwrap();
        assert_eq!(
            (found.unwrap().0, left),
            (expected, vec![]),
            "{count} bytes"
        );
    }
}

#[test]
fn the_host_reads_what_a_guest_writes() {
    for (count, max) in [(0, 8), (1, 1), (8, 8), (20, 3), (20, 100), (300, 7)] {
        let (mut store, instance) = guest();
        let function = instance
            .get_typed_func::<(u32,), (Bytes,)>(&mut store, "count")
            .unwrap();
        let run = store.run_concurrent(async |accessor| {
            let (mut reader,) = function.call_concurrent(accessor, (count,)).await.unwrap();
            let mut all = Vec::new();
            loop {
                let piece = reader.read(accessor, max).await.unwrap();
                assert!(piece.len() <= max);
                if piece.is_empty() {
                    break;
                }
                all.extend(piece);
            }
            accessor.with(|store| reader.close(store)).unwrap();
            all
        });
        let expected: Vec<u8> = (0..count).map(|byte| byte as u8).collect();
        assert_eq!(block_on(run).unwrap(), expected);
    }
}

/// Writes all to where the guest reads it, at most `most` bytes at a time, and closes the stream.
async fn write_in_place(
    accessor: &Accessor<()>,
    mut to: StreamWriter<u8>,
    bytes: &[u8],
    most: usize,
) -> Result<()> {
    let mut left = bytes;
    // Nothing is read yet, or it is and was not asked for.
    accessor.with(|store| to.write_with(store, |_| 0))?;
    while !left.is_empty() {
        to.ready(accessor).await?;
        let written = accessor.with(|store| {
            to.write_with(store, |room| {
                assert!((1..=16).contains(&room.len()));
                let count = left.len().min(room.len()).min(most);
                room[..count].copy_from_slice(&left[..count]);
                count
            })
        })?;
        left = &left[written.expect("the guest reads")..];
    }
    assert!(!accessor.with(|store| to.is_closed(store))?);
    accessor.with(|store| to.close(store))
}

#[test]
fn the_host_writes_to_where_a_guest_reads() {
    for (count, most) in [
        (1, 1),
        (16, 16),
        (17, 16),
        (100, 3),
        (1000, 16),
        (1000, 1000),
    ] {
        let (mut store, instance) = guest();
        let sum = instance
            .get_typed_func::<(Bytes,), (u32,)>(&mut store, "sum")
            .unwrap();
        let bytes: Vec<u8> = (0..count).map(|byte| byte as u8).collect();
        let expected: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        let run = store.run_concurrent(async |accessor| {
            let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
            let called = sum.call_concurrent(accessor, (reader,));
            both(called, write_in_place(accessor, writer, &bytes, most)).await
        });
        let (found, written) = block_on(run).unwrap();
        written.unwrap();
        assert_eq!(found.unwrap(), (expected,), "{count} bytes");
    }
}

#[test]
fn the_host_reads_where_a_guest_writes() {
    for (count, most) in [(1, 1), (8, 8), (20, 3), (20, 100), (300, 7)] {
        let (mut store, instance) = guest();
        let function = instance
            .get_typed_func::<(u32,), (Bytes,)>(&mut store, "count")
            .unwrap();
        let run = store.run_concurrent(async |accessor| {
            let (mut reader,) = function.call_concurrent(accessor, (count,)).await?;
            let mut all = Vec::new();
            loop {
                reader.ready(accessor).await?;
                let read = accessor.with(|store| {
                    reader.read_with(store, |bytes| {
                        let count = bytes.len().min(most);
                        all.extend_from_slice(&bytes[..count]);
                        count
                    })
                })?;
                if read.is_none() {
                    break;
                }
            }
            assert!(accessor.with(|store| reader.is_closed(store))?);
            accessor.with(|store| reader.close(store))?;
            Ok::<_, cwasm::Error>(all)
        });
        let expected: Vec<u8> = (0..count).map(|byte| byte as u8).collect();
        assert_eq!(block_on(run).unwrap().unwrap(), expected);
    }
}

#[test]
fn more_bytes_than_there_are_is_the_hosts_error() {
    let (mut store, instance) = guest();
    let sum = instance
        .get_typed_func::<(Bytes,), (u32,)>(&mut store, "sum")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let called = sum.call_concurrent(accessor, (reader,));
        let written = async {
            writer.ready(accessor).await?;
            let error = accessor.with(|store| writer.write_with(store, |room| room.len() + 1));
            let text = format!("{:?}", error.unwrap_err());
            assert!(text.contains("found 17 used bytes"), "{text}");
            // The guest still reads.
            write(accessor, writer, vec![1, 2]).await;
            Ok::<_, cwasm::Error>(())
        };
        both(called, written).await
    });
    let (found, written) = block_on(run).unwrap();
    written.unwrap();
    assert_eq!(found.unwrap(), (3,));
}

#[test]
fn a_guest_reads_strings() {
    let (mut store, instance) = guest();
    let words = instance
        .get_typed_func::<(StreamReader<String>,), (u32,)>(&mut store, "words")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (mut writer, reader) = accessor.with(|store| StreamWriter::<String>::pair(store));
        let called = words.call_concurrent(accessor, (reader,));
        let written = async {
            let words = ["one", "", "three"].map(str::to_owned).to_vec();
            let left = writer.write_all(accessor, words).await.unwrap();
            accessor.with(|store| writer.close(store)).unwrap();
            left
        };
        both(called, written).await
    });
    let (found, left) = block_on(run).unwrap();
    assert_eq!((found.unwrap().0, left.len()), (8, 0));
}

#[test]
fn a_stream_comes_back_from_a_guest() {
    let (mut store, instance) = guest();
    let pass = instance
        .get_typed_func::<(Bytes,), (Bytes,)>(&mut store, "pass")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (reader,) = pass.call_concurrent(accessor, (reader,)).await.unwrap();
        both(
            reader.collect(accessor),
            write(accessor, writer, vec![1, 2, 3]),
        )
        .await
    });
    let (found, left) = block_on(run).unwrap();
    assert_eq!((found.unwrap(), left), (vec![1, 2, 3], vec![]));
}

#[test]
fn an_end_is_given_once() {
    let (mut store, instance) = guest();
    let sum = instance.get_func(&mut store, "sum").unwrap();
    let (_writer, reader) = StreamWriter::<u8>::pair(&mut store);
    let end = StreamAny::from(reader);
    let close = instance.get_func(&mut store, "close").unwrap();
    close
        .call(&mut store, &[Val::Stream(end)], &mut [])
        .unwrap();
    let mut results = [Val::U32(0)];
    let error = sum
        .call(&mut store, &[Val::Stream(end)], &mut results)
        .unwrap_err();
    assert!(error.to_string().contains("given away"), "{error}");
}

#[test]
fn an_end_of_another_store_or_type_is_refused() {
    let (mut store, instance) = guest();
    let (mut other, _) = guest();
    let sum = instance
        .get_typed_func::<(Bytes,), (u32,)>(&mut store, "sum")
        .unwrap();
    let (_writer, foreign) = StreamWriter::<u8>::pair(&mut other);
    let error = sum.call(&mut store, (foreign,)).unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");

    let (_writer, words) = StreamWriter::<String>::pair(&mut store);
    let words = StreamAny::from(words);
    assert!(words.try_into_stream::<u8>(&mut store).is_err());
    assert!(words.try_into_future::<String>(&mut store).is_err());
    assert!(words.try_into_stream::<String>(&mut store).is_ok());
    assert!(
        instance
            .get_typed_func::<(StreamReader<u16>,), (u32,)>(&mut store, "sum")
            .is_err()
    );
    assert!(
        instance
            .get_typed_func::<(FutureReader<u8>,), (u32,)>(&mut store, "sum")
            .is_err()
    );
}

#[test]
fn a_guest_is_not_given_a_stream_of_other_payloads() {
    let (mut store, instance) = guest();
    let close = instance.get_func(&mut store, "close").unwrap();
    let (_writer, words) = StreamWriter::<String>::pair(&mut store);
    let words = Val::Stream(StreamAny::from(words));
    let error = close.call(&mut store, &[words], &mut []).unwrap_err();
    assert!(error.trap().is_none(), "{error}");
}

#[test]
fn a_writer_hears_that_the_reader_is_closed() {
    let (mut store, instance) = guest();
    let close = instance
        .get_typed_func::<(Bytes,), ()>(&mut store, "close")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let written = write(accessor, writer, vec![1, 2, 3]);
        both(close.call_concurrent(accessor, (reader,)), written).await
    });
    let (closed, left) = block_on(run).unwrap();
    closed.unwrap();
    assert_eq!(left, [1, 2, 3]);
}

#[test]
fn a_guest_hears_that_the_reader_is_closed() {
    let (mut store, instance) = guest();
    let count = instance
        .get_typed_func::<(u32,), (Bytes,)>(&mut store, "count")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (mut reader,) = count.call_concurrent(accessor, (100,)).await.unwrap();
        let piece = reader.read(accessor, 5).await.unwrap();
        accessor.with(|store| reader.close(store)).unwrap();
        // The guest's task has its turns before this goes on.
        turn().await;
        piece
    });
    assert_eq!(block_on(run).unwrap(), [0, 1, 2, 3, 4]);
    // It has ended: there is room for another one.
    store.set_limits(StoreLimits::new().tasks(1).clone());
    let run = store.run_concurrent(async |accessor| {
        let (reader,) = count.call_concurrent(accessor, (3,)).await.unwrap();
        reader.collect(accessor).await.unwrap()
    });
    assert_eq!(block_on(run).unwrap(), [5, 6, 7]);
}

#[test]
fn a_read_that_is_dropped_takes_nothing() {
    let (mut store, instance) = guest();
    let pass = instance
        .get_typed_func::<(Bytes,), (Bytes,)>(&mut store, "pass")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (mut reader,) = pass.call_concurrent(accessor, (reader,)).await.unwrap();
        {
            let mut read = Box::pin(reader.read(accessor, 2));
            let once = std::future::poll_fn(|context| {
                std::task::Poll::Ready(read.as_mut().poll(context).is_pending())
            });
            assert!(once.await);
        }
        both(
            reader.collect(accessor),
            write(accessor, writer, vec![1, 2, 3]),
        )
        .await
    });
    let (found, left) = block_on(run).unwrap();
    assert_eq!((found.unwrap(), left), (vec![1, 2, 3], vec![]));
}

#[test]
fn a_future_passes_a_guest() {
    let (mut store, instance) = guest();
    let late = instance
        .get_typed_func::<(FutureReader<String>,), (FutureReader<String>,)>(&mut store, "late")
        .unwrap();
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| FutureWriter::<String>::pair(store));
        let (reader,) = late.call_concurrent(accessor, (reader,)).await.unwrap();
        let written = writer.write(accessor, "late".to_owned());
        both(reader.read(accessor), written).await
    });
    let (found, left): (Result<_>, Result<_>) = block_on(run).unwrap();
    assert_eq!(
        (found.unwrap(), left.unwrap()),
        (Some("late".to_owned()), None)
    );
}
