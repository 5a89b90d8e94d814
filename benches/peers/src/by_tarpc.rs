//! tarpc over a pair of sockets: framed and in bincode, as its own transport for Unix sockets has it, and on either side a
//! runtime of tokio that is one thread. Requests are answered one after the other, which is faster than in a task each. It
//! has no oneways.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Instant;

use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpc::serde_transport::Transport;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context};
use tokio::net::UnixStream;

use crate::floor::{Far, Peer, Placement, Row, Running};
use crate::{Words, runtime};

pub const CALL: Row = Row { name: "tarpc", against: None, start };
pub const ECHO: Far = Far { role: "tarpc echo", serve };

#[tarpc::service]
trait Echo {
    async fn say(words: Words) -> Words;
}

#[derive(Clone)]
struct Parrot;

impl Echo for Parrot {
    async fn say(self, _: context::Context, words: Words) -> Words {
        words
    }
}

fn start(placement: Placement) -> Running {
    let (here, there) = StdStream::pair().expect("a pair");
    let peer = Peer::start(ECHO.role, placement.core(1), OwnedFd::from(there), None);
    let runtime = runtime();
    let echo = runtime.block_on(async { EchoClient::new(client::Config::default(), transport(here)).spawn() });
    let words = [u64::MAX; 8];
    Running::new(vec![peer.id()], vec![peer], move |count, took| {
        runtime.block_on(async {
            for _ in 0..count {
                let start = Instant::now();
                assert_eq!(echo.say(context::current(), words).await.expect("an answer"), words);
                took.push(start.elapsed());
            }
        });
    })
}

fn serve(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let near = StdStream::from(near.try_clone_to_owned().expect("a duplicate"));
    runtime().block_on(async {
        BaseChannel::with_defaults(transport(near)).execute(Parrot.serve()).for_each(|answer| answer).await
    });
}

/// To be made within a runtime.
fn transport<In, Out>(socket: StdStream) -> Transport<UnixStream, In, Out, Bincode<In, Out>>
where
    In: DeserializeOwned,
    Out: Serialize,
{
    socket.set_nonblocking(true).expect("a socket");
    Transport::from((UnixStream::from_std(socket).expect("a socket"), Bincode::default()))
}
