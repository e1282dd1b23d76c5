//! The imports of plug-ins: documents, and a function to report findings.

use std::path::Path;
use std::sync::Arc;

use cwasm::{Engine, Error, Linker, Resource, ResourceTable, Result};

pub use world::Plugin;

/// The code that `bindgen!` generates from the WIT world.
mod world {
    cwasm::bindgen!({
        path: "wit",
        world: "plugin",
        with: { "example:plugins/host/document": crate::host::Document },
        // A plug-in that does what it must not is ended.
        trappable_imports: true,
    });
}

/// The most findings that a plug-in may report in one check.
const MAX_FINDINGS: usize = 100;

/// A text with a name. Cheap to clone: plug-ins share its lines.
#[derive(Clone)]
pub struct Document {
    title: Arc<str>,
    lines: Arc<[String]>,
}

/// A finding of a plug-in.
pub struct Finding {
    pub line: u32,
    pub message: String,
}

/// The data of a store: what a plug-in can reach during one check.
#[derive(Default)]
pub struct State {
    documents: ResourceTable,
    findings: Vec<Finding>,
}

impl Document {
    pub fn read(path: &Path) -> Result<Document> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::new(error).context(format!("read `{}`", path.display())))?;
        let title = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Document {
            title: title.into(),
            lines: text.lines().map(str::to_owned).collect(),
        })
    }
}

impl State {
    /// Gives a document a number, by which the plug-in knows it.
    pub fn add(&mut self, document: Document) -> Result<Resource<Document>> {
        Ok(self.documents.push(document)?)
    }

    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// The resource: `self` is a number that the guest gave, so it is looked up each time.
impl world::example::plugins::host::HostDocument for State {
    fn title(&mut self, self_: Resource<Document>) -> Result<String> {
        Ok(self.documents.get(&self_)?.title.to_string())
    }

    fn line_count(&mut self, self_: Resource<Document>) -> Result<u32> {
        Ok(u32::try_from(self.documents.get(&self_)?.lines.len()).unwrap_or(u32::MAX))
    }

    fn line(&mut self, self_: Resource<Document>, number: u32) -> Result<Option<String>> {
        let document = self.documents.get(&self_)?;
        let index = number.checked_sub(1).map(|index| index as usize);
        Ok(index.and_then(|index| document.lines.get(index).cloned()))
    }

    /// Plug-ins borrow documents and never own one, so this is not called for those in the table.
    fn drop(&mut self, rep: Resource<Document>) -> Result<()> {
        self.documents.delete(rep)?;
        Ok(())
    }
}

/// The function of the interface.
impl world::example::plugins::host::Host for State {
    fn report(&mut self, line: u32, message: String) -> Result<()> {
        if self.findings.len() == MAX_FINDINGS {
            return Err(Error::msg("reported too much"));
        }
        self.findings.push(Finding { line, message });
        Ok(())
    }
}

/// A linker with all that plug-ins may import.
pub fn linker(engine: &Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    Plugin::add_to_linker(&mut linker, |state: &mut State| state)?;
    Ok(linker)
}
