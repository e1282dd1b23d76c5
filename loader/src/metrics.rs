//! Metrics of an engine, as plain data.

use cwasm_format::TrapCode;

use crate::vm::engine::Engine;

/// What the guests of an engine have and had: see [`Engine::metrics`].
///
/// Of instances, see also `Engine::instance_metrics`. Calls are not counted: a call that goes well
/// writes nothing for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineMetrics {
    /// Artifacts that are mapped now.
    pub artifacts: usize,
    /// Bytes of their files. They are address space; what is in memory is shared with other
    /// processes.
    pub artifact_bytes: u64,
    /// Mappings of memory that count for [`Config::max_mappings`](crate::Config::max_mappings) now,
    /// those of what is kept included.
    pub mappings: usize,
    /// The most that they may be.
    pub max_mappings: usize,
    /// How often code of a guest was stopped, since the engine was made, by the reason; reasons
    /// that there were none of are left out. [`TrapCode::HostError`] counts host functions that
    /// failed, which is also how programs of WASI exit.
    pub traps: Vec<(TrapCode, u64)>,
}

impl Engine {
    /// What the engine's guests have and had. Each figure is right for itself, at some time during
    /// the call.
    pub fn metrics(&self) -> EngineMetrics {
        let (artifacts, artifact_bytes) = self.counters().artifacts();
        let (mappings, max_mappings) = self.pool().budget().level();
        EngineMetrics {
            artifacts,
            artifact_bytes,
            mappings,
            max_mappings,
            traps: self.counters().traps(),
        }
    }
}
