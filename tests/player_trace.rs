//! What `--trace` of the player writes, read as Perfetto and chrome://tracing read it.

#[allow(dead_code, reason = "each test program uses its part")]
mod player;

use std::collections::{BTreeMap, BTreeSet};

use player::{Stage, WAYS, clip};
use serde_json::Value;

/// The ways of playing in which there are workers.
fn each_way(check: impl Fn(&Stage)) {
    WAYS[1..].iter().for_each(|way| check(&Stage::new(way)));
}

/// The events of a trace of this clip.
fn traced(stage: &Stage, name: &str) -> Vec<Value> {
    let text = stage.output("--trace", name, &[]);
    let trace: Value = serde_json::from_slice(&text).expect("a trace is JSON");
    trace["traceEvents"].as_array().expect("with a list of events").clone()
}

/// Nanoseconds, as whole numbers.
fn nanos(micros: &Value) -> u64 {
    let nanos = micros.as_f64().expect("a number") * 1000.0;
    assert!((0.0..1e15).contains(&nanos), "{nanos}");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies in that range")]
    let nanos = nanos.round() as u64;
    nanos
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_else(|| panic!("{name} of {event}"))
}

fn lane(event: &Value) -> (u64, u64) {
    (event["pid"].as_u64().expect("a process"), event["tid"].as_u64().expect("a thread"))
}

fn of<'a>(events: &'a [Value], phase: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["ph"] == phase).collect()
}

/// Start and end of each span, by lane.
fn spans(events: &[Value]) -> BTreeMap<(u64, u64), Vec<(u64, u64)>> {
    let mut spans: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in of(events, "X") {
        let start = nanos(&event["ts"]);
        spans.entry(lane(event)).or_default().push((start, start + nanos(&event["dur"])));
    }
    spans
}

/// The role of each process.
fn roles(events: &[Value]) -> BTreeMap<u64, String> {
    let names = of(events, "M").into_iter().filter(|event| event["name"] == "process_name");
    names.map(|event| (lane(event).0, text(&event["args"], "name").to_owned())).collect()
}

#[test]
fn each_process_has_a_lane_and_each_message_an_arrow() {
    each_way(|stage| {
        let events = traced(stage, "clip-av1.webm");
        let roles = roles(&events);
        let found: BTreeSet<_> = roles.values().map(String::as_str).collect();
        assert_eq!(found, BTreeSet::from(["host", "demux", "audio", "video"]));
        assert_eq!(roles.len(), 4, "one lane each");
        let spans = spans(&events);
        let mut between: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
        let starts: BTreeMap<_, _> = of(&events, "s").into_iter().map(|event| (event["id"].as_u64(), event)).collect();
        let ends: BTreeMap<_, _> = of(&events, "f").into_iter().map(|event| (event["id"].as_u64(), event)).collect();
        assert_eq!((starts.len(), ends.len()), (of(&events, "s").len(), of(&events, "f").len()), "ids are used once");
        assert!(starts.keys().eq(ends.keys()), "each start has its end");
        for (id, start) in &starts {
            let end = ends[id];
            assert!(nanos(&start["ts"]) <= nanos(&end["ts"]), "{start} {end}");
            assert_eq!((text(start, "name"), text(start, "cat")), (text(end, "name"), text(end, "cat")));
            assert_eq!(text(end, "bp"), "e");
            for bound in [start, end] {
                let at = nanos(&bound["ts"]);
                let is_around = |&(start, end): &(u64, u64)| start <= at && at < end;
                assert!(spans[&lane(bound)].iter().any(is_around), "{bound} lies in no span");
            }
            let names = [start, end].map(|event| roles[&lane(event).0].as_str());
            *between.entry((names[0], names[1], text(start, "name"))).or_default() += 1;
        }
        // 96 pictures, a packet for each, and a word that it was taken; and the ends of both streams. What a worker did last
        // it need not have told when the player ended.
        for (way, items) in [(("demux", "video", "packets"), 96 + 1), (("video", "host", "decoded"), 96 * 2 + 1)] {
            assert!((items / 2..=items).contains(&between[&way]), "{way:?} in {between:?}");
        }
        for expected in [
            ("host", "demux", "open"),
            ("host", "demux", "track"),
            ("host", "video", "open"),
            ("video", "demux", "parameters"),
            ("video", "demux", "packets"),
            ("demux", "audio", "packets"),
            ("audio", "host", "decoded"),
        ] {
            assert!(between.contains_key(&expected), "{expected:?} in {between:?}");
        }
    });
}

#[test]
fn times_grow_and_spans_nest() {
    each_way(|stage| {
        let events = traced(stage, "clip-av1.webm");
        let times: Vec<_> = events.iter().map(|event| nanos(&event["ts"])).collect();
        assert!(times.is_sorted());
        for event in &events {
            let known = ["M", "X", "i", "b", "e", "s", "f"].contains(&text(event, "ph"));
            assert!(known && !text(event, "name").is_empty(), "{event}");
            lane(event);
        }
        for (lane, spans) in spans(&events) {
            let mut around: Vec<u64> = Vec::new();
            for (start, end) in spans {
                around.retain(|outer| *outer > start);
                assert!(around.last().is_none_or(|outer| end <= *outer), "{lane:?}: {start}..{end} in {around:?}");
                around.push(end);
            }
        }
        let mut lasting: BTreeMap<&str, i32> = BTreeMap::new();
        for (phase, sign) in [("b", 1), ("e", -1)] {
            of(&events, phase).into_iter().for_each(|event| *lasting.entry(text(event, "id")).or_default() += sign);
        }
        // The host binds to three workers, opens a file and two decoders, and has two tracks, and two streams of what is decoded.
        assert!(lasting.len() == 10 && lasting.values().all(|open| *open == 0));
    });
}

#[test]
fn a_worker_that_is_started_again_has_a_lane_of_its_own() {
    each_way(|stage| {
        let run = stage.run(&["--trace", "output", "--quiet", "--crash", "video@10", &clip("clip-av1.webm")]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let text = std::fs::read(stage.path("output")).expect("written");
        let trace: Value = serde_json::from_slice(&text).expect("a trace is JSON");
        let roles = roles(trace["traceEvents"].as_array().expect("events"));
        assert_eq!(roles.values().filter(|role| *role == "video").count(), 2, "{roles:?}");
    });
}

#[test]
fn a_trace_that_cannot_be_written_is_an_output_error() {
    each_way(|stage| {
        let run = stage.run(&["--trace", "/nowhere/at/all", "--quiet", &clip("clip-av1.webm")]);
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.contains("/nowhere/at/all: cannot be written: "), "{}", run.stderr);
    });
    let run = Stage::new(&["--in-process"]).run(&["--trace", "output"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
}
