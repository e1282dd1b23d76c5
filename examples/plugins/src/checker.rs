//! One plug-in: linked once, and an instance for each check.

use std::time::{Duration, Instant};

use cwasm::{Component, Error, InstancePre, Linker, Resource, Result, Store, StoreLimits};

use crate::host::{Document, Finding, Plugin, State};

/// The time limit for a call of a plug-in.
pub const TIME: Duration = Duration::from_millis(200);

/// A plug-in whose imports are resolved.
pub struct Checker {
    ready: InstancePre<State>,
}

/// The result of a check.
pub struct Check {
    /// The plug-in's description of itself.
    pub description: String,
    /// Its findings, even if it failed afterwards.
    pub findings: Vec<Finding>,
    /// Its answer: a number, or the reason why it has none. An error if it was ended.
    pub outcome: Result<Result<u32, String>>,
}

impl Checker {
    pub fn new(linker: &Linker<State>, component: &Component) -> Result<Checker> {
        // A deadline does not stop other code.
        if !component.is_interruptible() {
            return Err(Error::msg(
                "a plug-in must be compiled with `--interruptible`",
            ));
        }
        let ready = linker.instantiate_pre(component)?;
        Ok(Checker { ready })
    }

    /// Checks a document. Whatever the plug-in does stays in a store of its own, which is gone
    /// afterwards; making one costs microseconds.
    pub fn check(&self, document: &Document) -> Check {
        let mut store = Store::new(self.ready.component().engine(), State::default());
        store.set_limits(limits());
        let mut description = String::new();
        let outcome = self.call(&mut store, document, &mut description);
        Check {
            description,
            findings: store.into_data().into_findings(),
            outcome,
        }
    }

    fn call(
        &self,
        store: &mut Store<State>,
        document: &Document,
        description: &mut String,
    ) -> Result<Result<u32, String>> {
        let document = store.data_mut().add(document.clone())?;
        // A deadline stops one call; making the instance is one as well.
        store.set_deadline(Some(Instant::now() + TIME))?;
        let instance = self.ready.instantiate(&mut *store)?;
        let plugin = Plugin::new(&mut *store, &instance)?;
        store.set_deadline(Some(Instant::now() + TIME))?;
        *description = plugin.call_describe(&mut *store)?;
        store.set_deadline(Some(Instant::now() + TIME))?;
        // Lent: the table of `store` keeps it.
        plugin.call_check(store, Resource::new_borrow(document.rep()))
    }
}

/// The limits of a plug-in's memory.
fn limits() -> StoreLimits {
    let mut limits = StoreLimits::new();
    limits
        .instances(1)
        .memories(1)
        .memory_size(16 << 20)
        .tables(4)
        .table_elements(10_000)
        .handles(100)
        // Strings of one call, together.
        .lift_size(64 << 10);
    limits
}
