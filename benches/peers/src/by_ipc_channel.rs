//! ipc-channel: a channel each way, typed, blocking. It knows no calls: a call is a value sent and one received.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::floor::{Far, Peer, Placement, Row, Running};
use crate::{ONEWAYS as COUNT, Words};

pub const CALL: Row = Row { name: "ipc-channel", against: None, start: start_calls };
pub const ONEWAYS: Row = Row { name: "1000 by ipc-channel", against: None, start: start_oneways };

pub const ECHO: Far = Far { role: "ipc-channel echo", serve: echo };
pub const LISTENER: Far = Far { role: "ipc-channel listener", serve: listen };

/// What a listener is told.
#[derive(Serialize, Deserialize)]
enum Told {
    Words(Words),
    HowMany,
}

/// Both ends of a caller: what it sends by, and what it receives from.
type Ends<A, B> = (IpcSender<A>, IpcReceiver<B>);

fn start_calls(placement: Placement) -> Running {
    let (peer, (to, from)) = connect::<Words, Words>(ECHO.role, placement);
    let words = [u64::MAX; 8];
    Running::timed(vec![peer], move || {
        to.send(words).expect("the peer is there");
        assert_eq!(from.recv().expect("an answer"), words);
    })
}

fn echo(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let (from, to) = accept::<Words, Words>(near);
    while let Ok(words) = from.recv() {
        to.send(words).expect("the caller waits");
    }
}

fn start_oneways(placement: Placement) -> Running {
    let (peer, (to, from)) = connect::<Told, u32>(LISTENER.role, placement);
    Running::timed(vec![peer], move || {
        for _ in 0..COUNT {
            to.send(Told::Words([1 << 62; 8])).expect("the peer is there");
        }
        to.send(Told::HowMany).expect("the peer is there");
        assert_eq!(from.recv().expect("an answer"), COUNT);
    })
}

fn listen(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let (from, to) = accept::<Told, u32>(near);
    let mut count = 0;
    while let Ok(told) = from.recv() {
        match told {
            Told::Words(words) => count += u32::from(words[7] != 0),
            Told::HowMany => to.send(std::mem::take(&mut count)).expect("the caller waits"),
        }
    }
}

/// Starts a far end, and tells it the name under which it hands over the caller's ends.
fn connect<A, B>(role: &str, placement: Placement) -> (Peer, Ends<A, B>)
where
    A: Serialize + DeserializeOwned,
    B: Serialize + DeserializeOwned,
{
    let (server, name) = IpcOneShotServer::<Ends<A, B>>::new().expect("a server");
    let (mut here, there) = UnixStream::pair().expect("a pair");
    let peer = Peer::start(role, placement.core(1), OwnedFd::from(there), None);
    here.write_all(name.as_bytes()).expect("the peer is there");
    drop(here);
    let (_, ends) = server.accept().expect("the peer connects");
    (peer, ends)
}

fn accept<A, B>(near: BorrowedFd<'_>) -> (IpcReceiver<A>, IpcSender<B>)
where
    A: Serialize + DeserializeOwned,
    B: Serialize + DeserializeOwned,
{
    let mut name = String::new();
    File::from(near.try_clone_to_owned().expect("a duplicate")).read_to_string(&mut name).expect("a name");
    let caller = IpcSender::<Ends<A, B>>::connect(name).expect("the caller waits");
    let (to_here, here) = ipc::channel().expect("a channel");
    let (there, from_there) = ipc::channel().expect("a channel");
    caller.send((to_here, from_there)).expect("the caller waits");
    (here, there)
}
