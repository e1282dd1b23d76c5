//! Components whose streams and futures have an end of the host, which does what the other
//! component would.

use cwasm::{
    Accessor, Borrow, ComponentType, FutureReader, FutureWriter, Instance, Lift, Lower,
    ResourceAny, Store, StreamReader, StreamWriter,
};

use super::cases::{Outcome, text_of};
use super::host::{Host, pause};

/// What the guest writes to its streams and futures.
const GUESTS_BYTES: [u8; 5] = [1, 3, 5, 7, 11];
const GUESTS_BYTE: u8 = 13;

/// What the host writes.
const BYTES: [u8; 6] = [2, 4, 6, 8, 9, 0];
const BYTE: u8 = 200;

/// Lets a task end that has returned: if it fails, that is an error of whoever polls.
async fn rest(accessor: &Accessor<Host>) {
    for _ in 0..10 {
        accessor.with(|_| ());
        tokio::task::yield_now().await;
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Outcome {
    match found == expected {
        true => Ok(()),
        false => Err(format!("found {found:?}, expected {expected:?}")),
    }
}

/// Writes these, which all must be read, and closes the stream with the last one.
async fn write_bytes(accessor: &Accessor<Host>, to: StreamWriter<u8>) -> Outcome {
    pause(accessor).await;
    let left = to.write_last(accessor, BYTES.to_vec()).await;
    expect(left.map_err(text_of)?, Vec::new())
}

/// Reads what the guest has said that it writes, and closes the stream with the last one.
async fn read_bytes(
    accessor: &Accessor<Host>,
    from: StreamReader<u8>,
    expected: Vec<u8>,
) -> Outcome {
    expect(&expected[..], &GUESTS_BYTES)?;
    pause(accessor).await;
    let found = from.read_last(accessor, expected.len()).await;
    expect(found.map_err(text_of)?, expected)
}

type Bytes = StreamReader<u8>;
type Byte = FutureReader<u8>;

/// `start` of `readiness`: it reads and writes nothing until the host is ready, and then all at
/// once, with which the host's ends close.
pub(super) async fn readiness(store: &mut Store<Host>, instance: Instance) -> Outcome {
    let name = "local:local/readiness#start";
    let start = instance
        .get_typed_func::<(Bytes, Vec<u8>), ((Bytes, Vec<u8>),)>(&mut *store, name)
        .map_err(text_of)?;
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let called = start.call_concurrent(accessor, (reader, BYTES.to_vec()));
        let ((reader, expected),) = called.await.map_err(text_of)?;
        let (write, read) = tokio::join!(
            write_bytes(accessor, writer),
            read_bytes(accessor, reader, expected)
        );
        rest(accessor).await;
        write.and(read)
    });
    run.await.map_err(text_of)?
}

/// `start` of `synchronous-transmit`: it waits in the middle of reads and writes.
pub(super) async fn synchronous(store: &mut Store<Host>, instance: Instance) -> Outcome {
    type Params = (Bytes, Vec<u8>, Byte, u8);
    let name = "local:local/synchronous-transmit#start";
    let start = instance
        .get_typed_func::<Params, (Params,)>(&mut *store, name)
        .map_err(text_of)?;
    let run = store.run_concurrent(async |accessor| {
        let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (future_writer, future) = accessor.with(|store| FutureWriter::pair(store));
        let params = (reader, BYTES.to_vec(), future, BYTE);
        let called = start.call_concurrent(accessor, params);
        let ((reader, expected, future, expected_byte),) = called.await.map_err(text_of)?;
        let write = async {
            pause(accessor).await;
            let left = future_writer.write(accessor, BYTE).await;
            expect(left.map_err(text_of)?, None)
        };
        let read = async {
            expect(expected_byte, GUESTS_BYTE)?;
            pause(accessor).await;
            let found = future.read(accessor).await;
            expect(found.map_err(text_of)?, Some(GUESTS_BYTE))
        };
        let (bytes_written, bytes_read, written, read) = tokio::join!(
            write_bytes(accessor, writer),
            read_bytes(accessor, reader, expected),
            write,
            read
        );
        rest(accessor).await;
        bytes_written.and(bytes_read).and(written).and(read)
    });
    run.await.map_err(text_of)?
}

/// `short-reads`: a stream of the guest's resources, which it reads one at a time, and gives back
/// all at once; the host reads them one at a time, too.
pub(super) async fn short_reads(store: &mut Store<Host>, instance: Instance) -> Outcome {
    const TEXTS: [&str; 5] = ["a", "b", "c", "d", "e"];
    type Things = StreamReader<ResourceAny>;
    let interface = "local:local/short-reads";
    let make = instance
        .get_typed_func::<(&str,), (ResourceAny,)>(
            &mut *store,
            format!("{interface}#[constructor]thing").as_str(),
        )
        .map_err(text_of)?;
    let get = instance
        .get_typed_func::<(Borrow<ResourceAny>,), (String,)>(
            &mut *store,
            format!("{interface}#[method]thing.get").as_str(),
        )
        .map_err(text_of)?;
    let pass = instance
        .get_typed_func::<(Things,), (Things,)>(
            &mut *store,
            format!("{interface}#short-reads").as_str(),
        )
        .map_err(text_of)?;
    let mut things = Vec::new();
    for text in TEXTS {
        let (thing,) = make
            .call_async(&mut *store, (text,))
            .await
            .map_err(text_of)?;
        things.push(thing);
    }
    let run = store.run_concurrent(async |accessor| {
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (mut reader,) = pass
            .call_concurrent(accessor, (reader,))
            .await
            .map_err(text_of)?;
        pause(accessor).await;
        let left = writer.write_all(accessor, things).await.map_err(text_of)?;
        expect(left, Vec::new())?;
        accessor
            .with(|store| writer.close(store))
            .map_err(text_of)?;
        let mut found = Vec::new();
        loop {
            pause(accessor).await;
            let one = reader.read(accessor, 1).await.map_err(text_of)?;
            let Some(thing) = one.first().copied() else {
                break;
            };
            let called = get.call_concurrent(accessor, (Borrow(thing),)).await;
            found.push(called.map_err(text_of)?.0);
            accessor
                .with(|store| thing.resource_drop(store))
                .map_err(text_of)?;
        }
        accessor
            .with(|store| reader.close(store))
            .map_err(text_of)?;
        expect(found, TEXTS.map(str::to_owned).to_vec())
    });
    run.await.map_err(text_of)?
}

/// What one end of `exchange` of `transmit` tells the other to do.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
pub(super) enum Control {
    ReadStream(String),
    ReadStreamZero,
    ReadFuture(String),
    WriteStream(String),
    WriteStreamZero,
    WriteFuture(String),
}

type Strings = StreamReader<String>;
type Later = FutureReader<String>;

/// The parameters and the result of `exchange`.
pub(super) type Given = (StreamReader<Control>, Strings, Later, Later);
pub(super) type Returned = (Strings, Later, Later);

/// Tells the guest what to do, one after the other, and sees that it does it.
pub(super) async fn control(store: &mut Store<Host>, instance: Instance) -> Outcome {
    let exchange = instance
        .get_typed_func::<Given, (Returned,)>(&mut *store, "local:local/transmit#exchange")
        .map_err(text_of)?;
    let run = store.run_concurrent(async |accessor| {
        let (mut control, control_reader) = accessor.with(|store| StreamWriter::pair(store));
        let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
        let (future, future_reader) = accessor.with(|store| FutureWriter::pair(store));
        let (unread, unread_reader) = accessor.with(|store| FutureWriter::pair(store));
        let given = (control_reader, reader, future_reader, unread_reader);
        let called = exchange.call_concurrent(accessor, given).await;
        let ((mut reader, later, last),) = called.map_err(text_of)?;
        let mut tell = async |what| {
            pause(accessor).await;
            let left = control.write_all(accessor, vec![what]).await;
            expect(left.map_err(text_of)?.len(), 0)
        };
        let text = str::to_owned;

        // What the host writes is read when the guest is told to.
        let write = async |writer: &mut StreamWriter<String>, value: &str| {
            let left = writer.write_all(accessor, vec![text(value)]).await;
            expect(left.map_err(text_of)?, Vec::new())
        };
        tell(Control::ReadStream(text("a"))).await?;
        write(&mut writer, "a").await?;
        let (told, written) = tokio::join!(
            async { tell(Control::ReadStream(text("b"))).await },
            write(&mut writer, "b")
        );
        told.and(written)?;
        // Its read of nothing goes on after the host's write of nothing, until there is something.
        tell(Control::ReadStreamZero).await?;
        writer.ready(accessor).await.map_err(text_of)?;
        let (told, written) = tokio::join!(
            async { tell(Control::ReadStream(text("c"))).await },
            write(&mut writer, "c")
        );
        told.and(written)?;
        tell(Control::ReadFuture(text("d"))).await?;
        let left = future.write(accessor, text("d")).await;
        expect(left.map_err(text_of)?, None)?;

        // What the guest writes is read.
        let read = async |reader: &mut Strings| reader.read(accessor, 9).await.map_err(text_of);
        tell(Control::WriteStream(text("e"))).await?;
        expect(read(&mut reader).await?, vec![text("e")])?;
        // The host's read of nothing goes on after its write of nothing.
        tell(Control::WriteStreamZero).await?;
        let (told, found) = tokio::join!(
            async { tell(Control::WriteStream(text("f"))).await },
            async {
                reader.ready(accessor).await.map_err(text_of)?;
                read(&mut reader).await
            }
        );
        told?;
        expect(found?, vec![text("f")])?;
        tell(Control::WriteFuture(text("g"))).await?;
        let found = later.read(accessor).await.map_err(text_of)?;
        expect(found, Some(text("g")))?;

        // The guest ends: it drops what it has not read, and writes what it has promised.
        accessor
            .with(|store| control.close(store))
            .map_err(text_of)?;
        expect(read(&mut reader).await?, Vec::new())?;
        let unread = unread.write(accessor, text("nobody reads this")).await;
        expect(unread.map_err(text_of)?, Some(text("nobody reads this")))?;
        let found = last.read(accessor).await.map_err(text_of)?;
        expect(found, Some(String::new()))?;
        let closed = accessor.with(|mut store| {
            reader.close(&mut store)?;
            writer.close(store)
        });
        closed.map_err(text_of)?;
        rest(accessor).await;
        Ok(())
    });
    run.await.map_err(text_of)?
}

/// Does what a guest tells by its stream, as the guest of [`control`] does.
pub(super) fn exchange(accessor: &Accessor<Host>, given: Given) -> Returned {
    let (writer, reader) = accessor.with(|store| StreamWriter::pair(store));
    let (future, later) = accessor.with(|store| FutureWriter::pair(store));
    let (unwritten, last) = accessor.with(|store| FutureWriter::pair(store));
    accessor.spawn(move |accessor| {
        Box::pin(async move {
            if let Err(problem) = obey(accessor, given, (writer, future, unwritten)).await {
                accessor.with(|mut store| store.data_mut().add_problem(problem));
            }
        })
    });
    (reader, later, last)
}

type Writers = (
    StreamWriter<String>,
    FutureWriter<String>,
    FutureWriter<String>,
);

async fn obey(
    accessor: &Accessor<Host>,
    (mut control, mut reader, later, unread): Given,
    (mut writer, future, unwritten): Writers,
) -> Outcome {
    let (mut later, mut future) = (Some(later), Some(future));
    loop {
        let told = control.read(accessor, 1).await.map_err(text_of)?.pop();
        pause(accessor).await;
        match told {
            None => break,
            Some(Control::ReadStream(expected)) => {
                let found = reader.read(accessor, 1).await.map_err(text_of)?;
                expect(found, vec![expected])?;
            }
            Some(Control::ReadStreamZero) => reader.ready(accessor).await.map_err(text_of)?,
            Some(Control::ReadFuture(expected)) => {
                let later = later.take().ok_or("a second read of a future")?;
                let found = later.read(accessor).await.map_err(text_of)?;
                expect(found, Some(expected))?;
            }
            Some(Control::WriteStream(value)) => {
                let left = writer.write_all(accessor, vec![value]).await;
                expect(left.map_err(text_of)?, Vec::new())?;
            }
            Some(Control::WriteStreamZero) => writer.ready(accessor).await.map_err(text_of)?,
            Some(Control::WriteFuture(value)) => {
                let future = future.take().ok_or("a second write of a future")?;
                let left = future.write(accessor, value).await.map_err(text_of)?;
                expect(left, None)?;
            }
        }
    }
    let closed = accessor.with(|mut store| {
        control.close(&mut store)?;
        reader.close(&mut store)?;
        writer.close(&mut store)?;
        unread.close(store)
    });
    closed.map_err(text_of)?;
    // The guest may have read it, or dropped its end.
    unwritten
        .write(accessor, String::new())
        .await
        .map_err(text_of)?;
    Ok(())
}
