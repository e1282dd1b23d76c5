//! Metrics of the engine, as text for Prometheus.

use std::fmt::{self, Display};

use cwasm::Engine;

use super::metrics::{head, number};

/// What the engine says of its guests.
pub(super) struct OfEngine<'e>(pub(super) &'e Engine);

impl Display for OfEngine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.0.metrics();
        let name = "cwasm_traps_total";
        head(
            f,
            name,
            "counter",
            "Times that a guest was stopped, by reason.",
        )?;
        for (code, count) in &metrics.traps {
            writeln!(f, "{name}{{reason=\"{}\"}} {count}", code.message())?;
        }
        let instances = self.0.instance_metrics();
        let counters = [
            (
                "cwasm_instances_made_total",
                "Instances that were made from the start.",
                instances.made,
            ),
            (
                "cwasm_instances_reused_total",
                "Instances that were made of one that was kept.",
                instances.reused,
            ),
            (
                "cwasm_instances_dropped_total",
                "Instances that were not kept.",
                instances.dropped,
            ),
            (
                "cwasm_instances_copied_bytes_total",
                "Bytes that were copied to make memory of instances clean.",
                instances.copied_bytes,
            ),
        ];
        for (name, help, value) in counters {
            number(f, (name, "counter", help), value)?;
        }
        let gauges = [
            (
                "cwasm_instances_idle",
                "Instances that are kept for the next requests.",
                instances.idle as u64,
            ),
            (
                "cwasm_instances_idle_bytes",
                "Bytes of memory that they keep.",
                instances.idle_bytes as u64,
            ),
            (
                "cwasm_artifacts",
                "Artifacts that are mapped.",
                metrics.artifacts as u64,
            ),
            (
                "cwasm_artifacts_bytes",
                "Bytes of their files.",
                metrics.artifact_bytes,
            ),
            (
                "cwasm_mappings",
                "Mappings of memory that instances take, those that are kept included.",
                metrics.mappings as u64,
            ),
            (
                "cwasm_mappings_max",
                "The most that they may be.",
                metrics.max_mappings as u64,
            ),
        ];
        for (name, help, value) in gauges {
            number(f, (name, "gauge", help), value)?;
        }
        Ok(())
    }
}
