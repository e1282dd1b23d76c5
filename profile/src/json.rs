//! A file that the Firefox Profiler and speedscope read: the members of an object are those of both
//! formats, and each of the two looks at its own.

use cwasm::Profile;
use serde::Serialize;

use crate::{firefox, speedscope};

#[derive(Serialize)]
struct File<'p> {
    #[serde(flatten)]
    firefox: fxprof_processed_profile::Profile,
    #[serde(flatten)]
    speedscope: speedscope::File<'p>,
}

/// The profile as JSON.
pub(crate) fn json(profile: &Profile, program: &str) -> Vec<u8> {
    let file = File {
        firefox: firefox::profile(profile, program),
        speedscope: speedscope::File::new(profile, program),
    };
    // Strings and numbers always are JSON.
    serde_json::to_vec(&file).unwrap_or_default()
}
