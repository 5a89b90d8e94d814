//! The unit tests of the example `player`: cargo runs none inside an example whose program it also builds.

#![expect(dead_code, reason = "the tests of these modules run here, not the player itself")]

#[path = "../examples/player/cli.rs"]
mod cli;
#[path = "../examples/player/playback/mod.rs"]
mod playback;
#[path = "../examples/player/protocol.rs"]
mod protocol;
#[path = "../examples/player/report.rs"]
mod report;
#[path = "../examples/player/sink/mod.rs"]
mod sink;
#[path = "../examples/player/stage/mod.rs"]
mod stage;
#[path = "../examples/player/text.rs"]
mod text;
