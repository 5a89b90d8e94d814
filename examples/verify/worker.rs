//! The confined side: takes one attempt by name, makes it, and says what came of it.

use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::probe::{Outcome, World};
use crate::{probes, sweep};

/// Longer than any order: a name or a batch of calls, a few numbers and a path.
const ORDER_MAX: usize = 16 << 10;

pub fn main() -> ExitCode {
    match cloison_sandbox::enter().map(UnixStream::from) {
        Ok(channel) => serve(channel).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells a worker what to try, and passes it the root directory, as a careless host might.
pub fn order(channel: &UnixStream, name: &str, world: &World, root: BorrowedFd<'_>) -> std::io::Result<()> {
    let text = format!("{name} {}", world.to_line());
    let descriptors = [root];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(channel, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn serve(mut channel: UnixStream) -> Option<()> {
    let (text, root) = take_order(&channel)?;
    let (name, line) = text.split_once(' ')?;
    let world = World::from_line(line, root.as_raw_fd().try_into().ok()?)?;
    let Some(calls) = sweep::parse(name) else {
        let probe = probes::all().into_iter().find(|probe| probe.name == name)?;
        return say(&mut channel, (probe.attempt)(&world));
    };
    calls.into_iter().try_for_each(|call| say(&mut channel, sweep::attempt(call)))
}

fn say(channel: &mut UnixStream, outcome: Outcome) -> Option<()> {
    let words = match outcome {
        Outcome::Succeeded(value) => format!("S {value}\n"),
        Outcome::Failed(errno) => format!("F {errno}\n"),
        Outcome::Counted(count) => format!("C {count}\n"),
    };
    channel.write_all(words.as_bytes()).ok()
}

fn take_order(channel: &UnixStream) -> Option<(String, OwnedFd)> {
    let mut bytes = [0; ORDER_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(channel.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    let mut passed = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            passed = descriptors.last();
        }
    }
    Some((String::from_utf8(bytes[..received.bytes].to_vec()).ok()?, passed?))
}

/// What a worker said of its attempt.
pub fn parse(words: &str) -> Option<Outcome> {
    let (kind, number) = words.split_once(' ')?;
    Some(match kind {
        "S" => Outcome::Succeeded(number.parse().ok()?),
        "F" => Outcome::Failed(number.parse().ok()?),
        "C" => Outcome::Counted(number.parse().ok()?),
        _ => return None,
    })
}
