//! Which version of an interface stands for which: `a:b/c@1.2.3` can be imported as `a:b/c@1.2.0`.
//!
//! Versions are compatible as in semantic versioning: those of the same major number, or of the
//! same minor number if that is 0. Versions `0.0.z` and those with a pre-release stand for
//! themselves alone.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Names of instances, with and without versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    known: HashSet<Box<str>>,
    /// The newest known name of each track.
    newest: HashMap<Box<str>, (Version, Box<str>)>,
}

/// Major, minor and patch number.
type Version = [u64; 3];

impl Names {
    /// Adds the name of an instance.
    pub(crate) fn add(&mut self, instance: &str) {
        if !self.known.insert(instance.into()) {
            return;
        }
        if let Some((track, version)) = track(instance) {
            let newest = self.newest.entry(track.into()).or_default();
            if newest.1.is_empty() || newest.0 < version {
                *newest = (version, instance.into());
            }
        }
    }

    /// The path of what stands for the import of this path, `name` or `instance#name`: the same, or
    /// that of the newest compatible version if this one is not known.
    pub(crate) fn resolve<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let Some((instance, rest)) = path.split_once('#') else {
            return path.into();
        };
        if self.known.contains(instance) {
            return path.into();
        }
        match track(instance).and_then(|(track, _)| self.newest.get(track)) {
            Some((_, newest)) => format!("{newest}#{rest}").into(),
            None => path.into(),
        }
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

    fn resolve(known: &[&str], path: &str) -> String {
        let mut names = Names::default();
        known.iter().for_each(|name| names.add(name));
        names.resolve(path).into_owned()
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
