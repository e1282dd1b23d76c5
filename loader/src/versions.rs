//! Which version of an interface stands for which: `a:b/c@1.2.3` can be imported as `a:b/c@1.2.0`.
//!
//! Versions are compatible as in semantic versioning: those of the same major number, or of the
//! same minor number if that is 0. Versions `0.0.z` and those with a pre-release stand for
//! themselves alone.

use std::collections::HashMap;

/// What a linker has, by path: a name, or `instance#name`.
#[derive(Clone, Debug)]
pub(crate) struct Items<I> {
    /// Few, so that they are looked through. The name of what belongs to no instance is empty.
    instances: Vec<(Box<str>, ByName<I>)>,
}

/// The items of an instance.
pub(crate) type ByName<I> = HashMap<Box<str>, I>;

/// Major, minor and patch number.
type Version = [u64; 3];

/// Finds items by their paths. Paths of one instance that follow each other are found faster.
pub(crate) struct Finder<'a, 'p, I> {
    items: &'a Items<I>,
    /// The instance of the path before, and its items.
    last: Option<(&'p str, Option<&'a ByName<I>>)>,
}

/// The instance and the name of a path.
fn split(path: &str) -> (&str, &str) {
    path.split_once('#').unwrap_or(("", path))
}

impl<I> Default for Items<I> {
    fn default() -> Items<I> {
        Items {
            instances: Vec::new(),
        }
    }
}

impl<I> Items<I> {
    /// The items of an instance, which is added if it is new.
    pub(crate) fn of_instance(&mut self, instance: &str) -> &mut ByName<I> {
        let mut known = self.instances.iter();
        let place = known.position(|(name, _)| **name == *instance);
        let place = place.unwrap_or_else(|| {
            self.instances.push((instance.into(), HashMap::new()));
            self.instances.len() - 1
        });
        &mut self.instances[place].1
    }

    /// The instance that stands for an import: the same, or the newest compatible version if this
    /// one is not known.
    fn resolve(&self, instance: &str) -> Option<&(Box<str>, ByName<I>)> {
        let mut known = self.instances.iter();
        if let Some(same) = known.find(|(name, _)| **name == *instance) {
            return Some(same);
        }
        let (wanted, _) = track(instance)?;
        let versions = self.instances.iter().filter_map(|known| {
            // Most are of other interfaces.
            let (track, version) = track(known.0.starts_with(wanted).then_some(&*known.0)?)?;
            (track == wanted).then_some((version, known))
        });
        let newest = versions.max_by_key(|(version, _)| *version);
        newest.map(|(_, known)| known)
    }

    /// What stands for imports.
    pub(crate) fn finder<'p>(&self) -> Finder<'_, 'p, I> {
        Finder {
            items: self,
            last: None,
        }
    }

    /// Adds an item where an import of this path finds it.
    pub(crate) fn insert_import(&mut self, path: &str, item: I) {
        let (instance, name) = split(path);
        let known = self.resolve(instance).map(|(known, _)| known.clone());
        let instance = known.as_deref().unwrap_or(instance);
        self.of_instance(instance).insert(name.into(), item);
    }
}

impl<'a, 'p, I> Finder<'a, 'p, I> {
    /// What stands for the import of this path.
    pub(crate) fn find(&mut self, path: &'p str) -> Option<&'a I> {
        let (instance, name) = split(path);
        let items = match self.last {
            Some((last, items)) if last == instance => items,
            _ => self.items.resolve(instance).map(|(_, items)| items),
        };
        self.last = Some((instance, items));
        items?.get(name)
    }
}

/// Whether two names are those of one interface, in the same version or in compatible ones.
pub(crate) fn are_compatible(a: &str, b: &str) -> bool {
    let track = |name| track(name).map(|(track, _)| track);
    a == b || track(a).is_some_and(|of_a| track(b) == Some(of_a))
}

/// The track, which is the part of the name that compatible versions of an interface have in common
/// (`a:b/c@1` or `a:b/c@0.1`), and the version. `None` if no other version is compatible.
pub(crate) fn track(instance: &str) -> Option<(&str, Version)> {
    let (interface, version) = instance.split_once('@')?;
    let core = version.split_once('+').map_or(version, |(core, _)| core);
    let mut numbers = core.split('.');
    let mut next = || {
        let text = numbers.next()?;
        Some((text.len(), number(text)?))
    };
    let ((major_len, major), (minor_len, minor), (_, patch)) = (next()?, next()?, next()?);
    if numbers.next().is_some() {
        return None;
    }
    let len = match (major, minor) {
        (0, 0) => return None,
        (0, _) => major_len + 1 + minor_len,
        _ => major_len,
    };
    let track = &instance[..interface.len() + 1 + len];
    Some((track, [major, minor, patch]))
}

/// A number without sign, as versions have.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path of what stands for an import.
    fn resolve(known: &[&str], path: &str) -> String {
        let mut items = Items::default();
        for name in known {
            items.of_instance(name);
        }
        let (instance, name) = split(path);
        let resolved = items.resolve(instance).map(|(name, _)| name.to_string());
        let resolved = resolved.unwrap_or_else(|| instance.to_owned());
        let all = match resolved.is_empty() {
            true => name.to_owned(),
            false => format!("{resolved}#{name}"),
        };
        items.insert_import(path, all.clone());
        assert_eq!(items.finder().find(path), Some(&all));
        assert_eq!(items.of_instance(&resolved).get(name), Some(&all));
        all
    }

    #[test]
    fn compatible_versions_stand_for_each_other() {
        let known = ["a:b/c@1.2.0", "a:b/c@1.10.1", "a:b/c@1.9.2", "a:b/c@2.0.0"];
        assert_eq!(resolve(&known, "a:b/c@1.2.0#f"), "a:b/c@1.2.0#f");
        assert_eq!(resolve(&known, "a:b/c@1.2.3#f"), "a:b/c@1.10.1#f");
        assert_eq!(resolve(&known, "a:b/c@1.99.0#i#f"), "a:b/c@1.10.1#i#f");
        assert_eq!(resolve(&known, "a:b/c@2.0.1+build.5#f"), "a:b/c@2.0.0#f");
        let known = ["a:b/c@0.2.6", "a:b/c@0.2.0"];
        assert_eq!(resolve(&known, "a:b/c@0.2.3#f"), "a:b/c@0.2.6#f");
    }

    #[test]
    fn versions_are_compatible_both_ways() {
        let name = "a:b/c@1.2.3";
        for other in [name, "a:b/c@1.2.4", "a:b/c@1.0.0", "a:b/c@1.99.0+b"] {
            assert!(are_compatible(name, other) && are_compatible(other, name));
        }
        for other in ["a:b/c@2.0.0", "a:b/c@1.2.3-rc", "a:b/d@1.2.3", "a:b/c", "a"] {
            assert!(!are_compatible(name, other) && !are_compatible(other, name));
            assert!(are_compatible(other, other));
        }
    }

    #[test]
    fn other_versions_stand_for_themselves() {
        let known = [
            "a:b/c@1.2.0",
            "a:b/c@0.2.0",
            "a:b/c@0.0.1",
            "a:b/c@3.0.0-rc.1",
            "a:b/c",
        ];
        for path in [
            "a:b/c@2.0.0#f",
            "a:b/c@0.1.0#f",
            "a:b/c@0.0.2#f",
            "a:b/c@3.0.0#f",
            "a:b/c@1.2.0-rc.1#f",
            "a:b/d@1.2.0#f",
            "a:b/c@1.2#f",
            "a:b/c@1.2.0.0#f",
            "a:b/c@1.2.+3#f",
            "a:b/c@1..3#f",
            "a:b/c#f",
            "a:b/c@1.3.0",
            "f",
        ] {
            assert_eq!(resolve(&known, path), path);
        }
    }
}
