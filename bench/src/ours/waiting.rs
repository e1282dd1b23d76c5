//! Calls that wait.

use std::path::Path;

use cwasm::{Engine, Instance, Linker, Result, Store, StreamReader, StreamWriter, block_on};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _, future};

use super::Ours;
use crate::waiting::{self, TOGETHER, Waits, chunk, measure, never, never_calls, pause};

pub(crate) struct Waiter {
    store: Store<()>,
    instance: Instance,
}

fn linker(engine: &Engine) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    root.func_wrap_async("ready", |_, (n,): (u32,)| {
        Box::new(async move { Ok((n + 1,)) })
    })?;
    root.func_wrap_async("pending", |_, (n,): (u32,)| {
        Box::new(async move {
            pause().await;
            Ok((n + 1,))
        })
    })?;
    root.func_wrap_concurrent("pause", |_, (): ()| Box::pin(pause().map(Ok)))?;
    root.func_wrap_concurrent("never", |_, (): ()| Box::pin(never().map(Ok)))?;
    root.func_wrap("measure", |_, (): ()| {
        measure();
        Ok(())
    })?;
    Ok(linker)
}

impl Waits for Ours {
    type Waiter = Waiter;

    fn waiter(&self, artifact: &Path) -> Result<Waiter> {
        let mut store = self.store();
        let component = self.map(artifact)?;
        let linker = linker(&self.engine)?;
        let instance = block_on(linker.instantiate_async(&mut store, &component))?;
        Ok(Waiter { store, instance })
    }
}

impl waiting::Waiter for Waiter {
    type Error = cwasm::Error;

    fn add(&mut self, calls: u32) -> Result<u32> {
        let Waiter { store, instance } = self;
        let add = instance.get_typed_func::<(u32, u32), (u32,)>(&mut *store, "add")?;
        block_on(async {
            let mut sum = 0;
            for _ in 0..calls {
                (sum,) = add.call_async(&mut *store, (sum, 1)).await?;
            }
            Ok(sum)
        })
    }

    fn run(&mut self, name: &str, rounds: u32) -> Result<u32> {
        let Waiter { store, instance } = self;
        let run = instance.get_typed_func::<(u32,), (u32,)>(&mut *store, name)?;
        Ok(block_on(run.call_async(store, (rounds,)))?.0)
    }

    fn stream(&mut self, kind: u32, chunks: u32) -> Result<u32> {
        let Waiter { store, instance } = self;
        let stream = instance.get_typed_func::<(u32, u32), (u32,)>(&mut *store, "stream")?;
        Ok(block_on(stream.call_async(store, (kind, chunks)))?.0)
    }

    fn stream_in(&mut self, chunks: u32) -> Result<u32> {
        let Waiter { store, instance } = self;
        let bytes = instance.get_typed_func::<(StreamReader<u8>,), (u32,)>(&mut *store, "bytes")?;
        block_on(store.run_concurrent(async |accessor| {
            let (mut writer, reader) = accessor.with(|store| StreamWriter::pair(store));
            let call = bytes.call_concurrent(accessor, (reader,));
            let write = async {
                for _ in 0..chunks {
                    let mut left: &[u8] = chunk();
                    while !left.is_empty() {
                        writer.ready(accessor).await?;
                        let write = |buffer: &mut [u8]| {
                            let count = left.len().min(buffer.len());
                            buffer[..count].copy_from_slice(&left[..count]);
                            count
                        };
                        let written = accessor.with(|store| writer.write_with(store, write))?;
                        left = &left[written.unwrap_or(0)..];
                    }
                }
                accessor.with(|store| writer.close(store))
            };
            let ((answer,), ()) = future::try_join(call, write).await?;
            Ok(answer)
        }))?
    }

    fn pause(&mut self, tasks: u32) -> Result<u32> {
        let Waiter { store, instance } = self;
        let pause = instance.get_typed_func::<(), ()>(&mut *store, "pause")?;
        block_on(store.run_concurrent(async |accessor| {
            let mut returned = 0;
            while returned < tasks {
                let calls = 0..TOGETHER.min(tasks - returned);
                let calls = calls.map(|_| pause.call_concurrent(accessor, ()));
                let mut calls: FuturesUnordered<_> = calls.collect();
                while let Some(result) = calls.next().await {
                    result?;
                    returned += 1;
                }
            }
            Ok(returned)
        }))?
    }

    fn hold(&mut self, tasks: u32) -> Result<()> {
        let Waiter { store, instance } = self;
        let hold = instance.get_typed_func::<(), ()>(&mut *store, "hold-host")?;
        block_on(store.run_concurrent(async |accessor| {
            measure();
            for _ in 0..tasks {
                // Without the future, the task goes on.
                let begun = hold.call_concurrent(accessor, ()).now_or_never();
                begun.transpose()?;
            }
            while never_calls() < tasks {
                pause().await;
            }
            measure();
            Ok(())
        }))?
    }
}
