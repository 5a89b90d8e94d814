//! A thumbnailer: a worker takes a stranger's file apart and decodes one picture, the host makes it small and writes it.
//!
//! `worker` is the contract, and its server with the player's own demuxer and decoder; here is the host; `shrink` is arithmetic.
//! `cargo run --release --example thumbnail -- FILE OUT.ppm`

#[path = "../player/input.rs"]
mod input;
#[allow(dead_code, unused_imports, reason = "the player says more, this shows its pictures alone")]
#[path = "../player/protocol/mod.rs"]
mod protocol;
mod shrink;
#[allow(dead_code, reason = "the player does more, this shows its pictures alone")]
#[path = "../player/stage/mod.rs"]
mod stage;
mod worker;

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cloison_broker::{Broker, HOST, Model, Rules, WorkerSpec};

use worker::{THUMBNAILER, Thumbnailer, ThumbnailerClient};

/// Makes a small picture of a video: of AV1 in MP4, Matroska or WebM.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The video.
    file: PathBuf,
    /// Where the picture goes, as a portable pixmap; there must be no such file yet.
    out: PathBuf,
    /// How many pixels its longer side has, at most.
    #[arg(long, value_name = "PIXELS", default_value_t = 160, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
}

fn main() -> ExitCode {
    // Does not return in the process that is the worker.
    cloison_worker::roles(&[("thumbnailer", worker::main)]);
    let made = make(&Options::parse()).inspect_err(|error| eprintln!("thumbnail: {error}"));
    made.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn make(options: &Options) -> Result<(), Box<dyn Error>> {
    let input = input::Input::open(&options.file)?;
    let policy = Rules::new().allow_contract(HOST, "thumbnailer", &THUMBNAILER);
    let (broker, _inbox) = Broker::start(policy, Model::Broker)?;
    broker.spawn(WorkerSpec::own("thumbnailer")?)?;

    // The worker gets the open file, and nothing else of the file system.
    let thumbnailer = ThumbnailerClient::bind(&broker, "thumbnailer")?;
    let (picture, buffer) = thumbnailer.picture(input.file.into(), input.length)?;
    let lent = thumbnailer.link().borrow(buffer)?;
    // It has parsed a stranger's bytes: what it says is taken on trust no more than they are.
    if !picture.layout.is_possible() || lent.len() != picture.layout.bytes() {
        return Err("the worker describes a picture that it did not lend".into());
    }
    let mut samples = vec![0; lent.len()];
    lent.copy_to(&mut samples)?;

    let (width, height, pixels) = shrink::shrink(&picture.layout, &samples, options.size);
    let mut out = File::create_new(&options.out).map_err(|error| format!("{}: {error}", options.out.display()))?;
    write!(out, "P6\n{width} {height}\n255\n")?;
    Ok(out.write_all(&pixels)?)
}
