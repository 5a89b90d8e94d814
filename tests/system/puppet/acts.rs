//! What a puppet does when its host tells it to.

use std::rc::Rc;
use std::time::Duration;

use cloison_worker::msg::{Message, RpcIndex};
use cloison_worker::{Borrowed, Link, OpenFailure, PoolShape, Worker};

use super::links::{call, hand, hand_busy, lend, notes, round_trips, stream};
use super::{OTHER, Puppet};
use crate::words::{End, NOTE, Outcome, PEER, RAW, Step, runs};

impl Puppet {
    pub fn act(&self, worker: &Worker, step: Step) -> Outcome {
        let link = |at: usize| self.links.borrow()[at].clone();
        match step {
            Step::Open { role, interface, within } => Outcome::Got(self.open(worker, &role, &interface, within)),
            Step::Close(at) => {
                link(at).close();
                Outcome::Done
            }
            Step::Gone(at) => Outcome::Gone(link(at).gone().map(|gone| format!("{gone:?}"))),
            Step::Call { link: at, rpc, payloads, within } => {
                Outcome::Replies(call(&link(at), RpcIndex(rpc), &payloads, within))
            }
            Step::Notes { link: at, from, count, bytes, within } => {
                let (sent, stop) = notes(&link(at), from..from + count, bytes, within);
                Outcome::Sent(sent, stop)
            }
            Step::RoundTrips { link: at, lasting } => Outcome::RoundTrips(round_trips(&link(at), lasting)),
            Step::Noted => Outcome::Noted(self.noted.borrow().clone()),
            Step::Runs => Outcome::Runs(runs(&self.noted.borrow())),
            Step::MakePool { link: at, shape } => Outcome::Got(self.make_pool(&link(at), shape)),
            Step::Print { line, count } => {
                for _ in 0..count {
                    eprintln!("{line}");
                }
                Outcome::Done
            }
            Step::NoteAll(role, number) => {
                let mut message = Message::new();
                message.append(&number).expect("short");
                let missed = worker.oneway_to_all(&role, NOTE, &message);
                Outcome::Served(missed.len() as u64)
            }
            Step::Batch(at, step) => {
                let batch = link(at).batch();
                let outcome = self.act(worker, *step);
                batch.send();
                outcome
            }
            Step::Trespass => {
                let _ = std::os::unix::process::parent_id();
                Outcome::Done
            }
            Step::Record { message, count } => {
                (0..count).for_each(|number| tracing::info!(number, "{message}"));
                Outcome::Done
            }
            Step::End(end) => die(end),
            Step::Served => Outcome::Served(self.served.get()),
            Step::Peer(at) => Outcome::Peer(link(at).peer().to_string()),
            Step::Stream { link: at, from, lasting } => stream(&link(at), from, lasting),
            Step::Hand { .. } | Step::HandBusy { .. } | Step::Adopt => self.act_with_links(step),
            other => self.act_with_pictures(other),
        }
    }

    fn act_with_links(&self, step: Step) -> Outcome {
        match step {
            Step::Hand { by, link, moves, calls, rights } => {
                let (by, link) = (self.links.borrow()[by].clone(), self.links.borrow()[link].clone());
                Outcome::Replies(vec![hand(&by, &link, moves, calls, &rights)])
            }
            Step::HandBusy { by, link, calls, nap, rights } => {
                let (by, link) = (self.links.borrow()[by].clone(), self.links.borrow()[link].clone());
                Outcome::Replies(hand_busy(&by, &link, calls, nap, &rights))
            }
            Step::Adopt => match self.taken.borrow_mut().pop_front() {
                Some(link) => {
                    self.links.borrow_mut().push(link);
                    Outcome::Got(Ok(self.links.borrow().len() - 1))
                }
                None => Outcome::Got(Err("there is none".to_owned())),
            },
            other => unreachable!("{other:?} is no step with links"),
        }
    }

    fn act_with_pictures(&self, step: Step) -> Outcome {
        let pool = |at: usize| self.pools.borrow()[at].clone().expect("the pool was not dropped");
        match step {
            Step::Lend { pool: at, fill, count, within } => {
                let (lent, stop) = lend(&pool(at), fill, count, within);
                Outcome::Sent(lent, stop)
            }
            Step::Lent(at) => Outcome::Lent(pool(at).lent()),
            Step::DropPool(at) => {
                let dropped = self.pools.borrow_mut()[at].take();
                drop(dropped);
                Outcome::Done
            }
            Step::Keep(keeps) => {
                self.keeps.set(keeps);
                Outcome::Done
            }
            Step::Kept => Outcome::Kept(self.kept.borrow().iter().map(ends_of).collect()),
            Step::GiveBack(count) => {
                let back: Vec<_> = self.kept.borrow_mut().drain(..count).collect();
                drop(back);
                Outcome::Done
            }
            other => unreachable!("{other:?} is no step with pictures"),
        }
    }

    fn open(&self, worker: &Worker, role: &str, interface: &str, within: Duration) -> Result<usize, String> {
        let interface = match interface {
            "peer" => &PEER,
            "raw" => &RAW,
            _ => &OTHER,
        };
        match worker.open_within(role, interface, within) {
            Ok(link) => {
                self.links.borrow_mut().push(link);
                Ok(self.links.borrow().len() - 1)
            }
            Err(error) => Err(match error.why {
                OpenFailure::Refused(refusal) => format!("{refusal:?}"),
                other => format!("{other:?}"),
            }),
        }
    }

    fn make_pool(&self, link: &Link, shape: PoolShape) -> Result<usize, String> {
        let pool = link.pool(shape).map_err(|error| format!("{error}"))?;
        self.pools.borrow_mut().push(Some(Rc::new(pool)));
        Ok(self.pools.borrow().len() - 1)
    }
}

fn ends_of(picture: &Borrowed) -> (u8, u8) {
    let mut byte = [0];
    let mut at = |offset| {
        picture.copy_range_to(offset, &mut byte).expect("within the buffer");
        byte[0]
    };
    (at(0), at(picture.len() - 1))
}

fn die(end: End) -> ! {
    match end {
        End::Panic => panic!("as told"),
        End::Abort => std::process::abort(),
        End::Exit(code) => std::process::exit(code),
        End::Forbidden => {
            let _ = std::net::TcpStream::connect("127.0.0.1:9");
            unreachable!("asking for an Internet socket kills");
        }
        End::Spin => loop {
            std::hint::black_box(end);
        },
        End::Sleep => loop {
            std::thread::park();
        },
    }
}
