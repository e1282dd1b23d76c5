//! Sums of items that have something in common.

use std::collections::HashMap;

use serde::Serialize;

use super::account::{Bytes, Use};
use super::items::{Item, serialize_bytes};

/// The sum of a group.
#[derive(Serialize)]
pub(super) struct Group {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) component: String,
    pub(super) name: String,
    pub(super) functions: u64,
    pub(super) total: u64,
    #[serde(serialize_with = "serialize_bytes")]
    pub(super) bytes: Bytes,
}

/// By component, if there are several; what is no component's is left out.
pub(super) fn by_component(items: &[Item<'_>]) -> Vec<Group> {
    let owned = items.iter().filter(|item| !item.component.is_empty());
    let groups = sums(owned.map(|item| ("", &*item.component, item)));
    match groups.len() {
        0 | 1 => Vec::new(),
        _ => groups,
    }
}

/// By component and module; what is no module's is left out.
pub(super) fn by_module(items: &[Item<'_>]) -> Vec<Group> {
    let owned = items.iter().filter(|item| !item.module.is_empty());
    sums(owned.map(|item| (&*item.component, &*item.module, item)))
}

/// By crate, namespace or package; of all functions.
pub(super) fn by_namespace(items: &[Item<'_>]) -> Vec<Group> {
    let functions = items.iter().filter(|item| item.kind.is_some());
    sums(functions.map(|item| ("", &*item.namespace, item)))
}

/// All bytes by their use.
pub(super) fn by_use(items: &[Item<'_>]) -> Bytes {
    let mut sum = Bytes::default();
    for item in items {
        add(&mut sum, &item.bytes);
    }
    sum
}

/// The sums, the largest first.
fn sums<'i>(items: impl Iterator<Item = (&'i str, &'i str, &'i Item<'i>)>) -> Vec<Group> {
    let mut groups: HashMap<(&str, &str), Group> = HashMap::new();
    for (component, name, item) in items {
        let group = groups.entry((component, name)).or_insert_with(|| Group {
            component: component.to_owned(),
            name: name.to_owned(),
            functions: 0,
            total: 0,
            bytes: [0; Use::ALL.len()],
        });
        group.functions += item.functions;
        group.total += item.total;
        add(&mut group.bytes, &item.bytes);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| {
        let order = b.total.cmp(&a.total);
        order.then_with(|| (&a.component, &a.name).cmp(&(&b.component, &b.name)))
    });
    groups
}

fn add(sum: &mut Bytes, bytes: &Bytes) {
    sum.iter_mut()
        .zip(bytes)
        .for_each(|(sum, bytes)| *sum += bytes);
}
