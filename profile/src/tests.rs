use std::time::Duration;

use cwasm::{FrameKind, ProfileFrame, ProfileSample, ProfileStack, ProfileThread};

use super::*;
use crate::tree::{functions, tree};

/// Two threads: `run` calls `parse`, which calls itself and the host.
fn profile() -> Profile {
    let frame = |kind, name: &str| ProfileFrame {
        kind,
        name: name.to_owned(),
    };
    let stack = |frame, caller| ProfileStack { frame, caller };
    let sample = |stack, time: u64, weight: u64| ProfileSample {
        stack,
        time: time * 1_000_000,
        weight: weight * 1000,
    };
    let mut profile = Profile::default();
    profile.duration = Duration::from_millis(20);
    profile.frames = vec![
        frame(FrameKind::Guest, "run"),
        frame(FrameKind::Guest, "parse<'a;b>\u{1b}\n"),
        frame(FrameKind::Host, "wasi:io/streams#[method]read"),
    ];
    profile.stacks = vec![
        stack(0, None),
        stack(1, Some(0)),
        stack(1, Some(1)),
        stack(2, Some(2)),
    ];
    let mut main = ProfileThread::default();
    main.id = std::process::id();
    main.name = Some("main".to_owned());
    main.samples = vec![
        sample(1, 1, 4000),
        sample(2, 5, 1500),
        sample(3, 9, 500),
        sample(1, 12, 4000),
    ];
    main.outside = Duration::from_millis(3);
    let mut other = ProfileThread::default();
    other.id = main.id + 1;
    other.samples = vec![sample(0, 2, 2000)];
    profile.threads = vec![main, other];
    profile
}

#[test]
fn extensions_say_the_format() {
    let of = |name| Format::of(Path::new(name));
    assert_eq!(of("a/b.json"), Some(Format::Json));
    assert_eq!(of("b.svg"), Some(Format::Svg));
    assert_eq!(
        (of("b"), of("b.SVG"), of(".svg"), of("")),
        (None, None, None, None)
    );
}

#[test]
fn folded_stacks_have_a_line_each() {
    let text = String::from_utf8(Format::Folded.write(&profile(), "p")).unwrap();
    let parse = "parse<'a:b>\\u{1b}\\u{a}";
    let expected = format!(
        "run 2000\nrun;{parse} 8000\nrun;{parse};{parse} 1500\n\
         run;{parse};{parse};wasi:io/streams#[method]read 500\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn the_summary_says_what_is_not_in_the_stacks() {
    let expected = "5 samples, 12.0 ms of CPU time in guests, 3.00 ms outside";
    assert_eq!(summary(&profile()), expected);
}

#[test]
fn trees_and_functions_have_all_time() {
    let profile = profile();
    let tree = tree(&profile);
    let nodes: Vec<_> = tree.iter().map(|node| (node.total, node.own)).collect();
    let micros = [
        (12_000, 0),
        (12_000, 2000),
        (10_000, 8000),
        (2000, 1500),
        (500, 500),
    ];
    assert_eq!(nodes, micros.map(|(total, own)| (total * 1000, own * 1000)));
    let functions: Vec<_> = functions(&profile)
        .into_iter()
        .map(|f| (f.total, f.own))
        .collect();
    let micros = [(10_000, 9500), (12_000, 2000), (500, 500)];
    assert_eq!(
        functions,
        micros.map(|(total, own)| (total * 1000, own * 1000))
    );
}

#[test]
fn firefox_profiles_have_all_samples_of_each_thread() {
    let json: serde_json::Value =
        serde_json::from_slice(&Format::Json.write(&profile(), "p\u{1b}")).unwrap();
    assert_eq!(json["meta"]["product"], "p\\u{1b}");
    assert_eq!(json["meta"]["interval"], 1.0);
    let threads = json["threads"].as_array().unwrap();
    let weights = |thread: usize| -> Vec<i64> {
        let weights = threads[thread]["samples"]["weight"].as_array().unwrap();
        weights
            .iter()
            .map(|weight| weight.as_i64().unwrap())
            .collect()
    };
    // Half of a millisecond is the next sample's.
    assert_eq!(weights(0), [4, 1, 1, 4]);
    assert_eq!(weights(1), [2]);
    let text = json.to_string();
    for name in [
        "parse<'a;b>\\\\u{1b}\\\\u{a}",
        "wasi:io/streams#[method]read",
    ] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn speedscope_is_told_when_functions_are_entered_and_left() {
    let bytes = Format::Json.write(&profile(), "p\u{1b}");
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        json["$schema"],
        "https://www.speedscope.app/file-format-schema.json"
    );
    assert_eq!(json["name"], "p\\u{1b}");
    let frames = json["shared"]["frames"].as_array().unwrap();
    assert_eq!(frames[1]["name"], "parse<'a;b>\\u{1b}\\u{a}");
    let thread = &json["profiles"][0];
    assert_eq!(
        (&thread["name"], &thread["type"]),
        (&"main".into(), &"evented".into())
    );
    assert_eq!(
        (&thread["startValue"], &thread["endValue"]),
        (&0.into(), &10_000_000.into())
    );
    let events = thread["events"].as_array().unwrap().iter();
    let events: Vec<String> = events
        .map(|event| {
            format!(
                "{}{} {}",
                event["type"].as_str().unwrap(),
                event["frame"],
                event["at"]
            )
        })
        .collect();
    let expected = [
        "O0 0",
        "O1 0",
        "O1 4000000",
        "O2 5500000",
        "C2 6000000",
        "C1 6000000",
        "C1 10000000",
        "C0 10000000",
    ];
    assert_eq!(events, expected);
    // Each member of the object is one format's.
    let text = String::from_utf8(bytes).unwrap();
    let mut reader = serde_json::Deserializer::from_str(&text);
    let members: Vec<(String, serde_json::Value)> = members(&mut reader);
    assert_eq!(members.len(), json.as_object().unwrap().len());
}

/// The members of an object, also those whose name is there twice.
fn members<'de>(reader: impl serde::Deserializer<'de>) -> Vec<(String, serde_json::Value)> {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, serde_json::Value)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(member) = map.next_entry()? {
                found.push(member);
            }
            Ok(found)
        }
    }
    reader.deserialize_map(Members).unwrap()
}

#[test]
fn graphs_and_pages_are_markup_with_nothing_of_a_guests() {
    for format in [Format::Svg, Format::Html] {
        let text = String::from_utf8(format.write(&profile(), "<p>")).unwrap();
        assert!(
            text.contains("parse&lt;&#39;a;b&gt;\\u{1b}\\u{a}"),
            "{text}"
        );
        assert!(!text.contains("parse<") && !text.contains("<p>:") && !text.contains('\u{1b}'));
        assert_eq!(text.matches("<g class=\"frame").count(), 5);
        // Nothing is fetched.
        let without_namespace = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!without_namespace.contains("://") && !text.contains("src="));
        assert!(text.contains("<title>run\n100.0 %, 12.0 ms; itself 16.7 %, 2.00 ms</title>"));
    }
}

#[test]
fn frames_that_cannot_be_seen_are_left_out() {
    let mut profile = profile();
    profile.threads[0].samples[2].weight = 100;
    let text = String::from_utf8(Format::Svg.write(&profile, "p")).unwrap();
    assert_eq!(text.matches("<g class=\"frame").count(), 4);
}

#[test]
fn a_profile_of_nothing_can_be_written() {
    for (_, format) in Format::ALL {
        let bytes = format.write(&Profile::default(), "");
        assert!(*format == Format::Folded || !bytes.is_empty());
    }
}
