//! The unit tests of the example `player`: cargo runs none inside an example whose program it also builds.

#![expect(dead_code, reason = "the tests of these modules run here, not the player itself")]

#[path = "../examples/player/cli.rs"]
mod cli;
#[path = "../examples/player/host/mod.rs"]
mod host;
#[path = "../examples/player/in_process/mod.rs"]
mod in_process;
#[path = "../examples/player/input.rs"]
mod input;
#[path = "../examples/player/pipeline/mod.rs"]
mod pipeline;
#[path = "../examples/player/place.rs"]
mod place;
#[path = "../examples/player/play.rs"]
mod play;
#[path = "../examples/player/playback/mod.rs"]
mod playback;
#[path = "../examples/player/progress.rs"]
mod progress;
#[path = "../examples/player/protocol/mod.rs"]
mod protocol;
#[path = "../examples/player/report.rs"]
mod report;
#[path = "../examples/player/service/mod.rs"]
mod service;
#[path = "../examples/player/sink/mod.rs"]
mod sink;
#[path = "../examples/player/stage/mod.rs"]
mod stage;
#[path = "../examples/player/text.rs"]
mod text;
#[path = "../examples/player/trace/mod.rs"]
mod trace;
#[path = "../examples/player/usage.rs"]
mod usage;
#[path = "../examples/player/worker/mod.rs"]
mod worker;
