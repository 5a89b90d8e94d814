//! The honest worker of these tests: it does what its host tells it, step by step.

mod acts;
mod links;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use cloison_worker::msg::{Descriptor, Failure, Interface, Message};
use cloison_worker::{Borrowed, Link, Pool, Request, Service, Worker};

use crate::words::{
    ADD, BACK, DESCRIPTOR, DO, ECHO, FAIL, FAILURE, LINGER, NAP, NOTE, PEER, PICTURE, Picture, TAKE, VISIT, Verbatim,
};

/// An interface that no policy of these tests grants.
pub const OTHER: Interface = Interface::new("other", &["anything"]);

/// The whole life of a puppet.
pub fn main() -> ExitCode {
    cloison_worker::run(|worker| worker.serve(Puppet::default()))
}

#[derive(Default)]
struct Puppet {
    links: RefCell<Vec<Link>>,
    pools: RefCell<Vec<Option<Rc<Pool>>>>,
    noted: RefCell<Vec<u32>>,
    /// Links that came from others, until they are adopted.
    taken: RefCell<VecDeque<Link>>,
    served: Cell<u64>,
    kept: RefCell<VecDeque<Borrowed>>,
    keeps: Cell<bool>,
    /// Links opened for [`VISIT`], by role.
    visited: RefCell<BTreeMap<String, Link>>,
}

impl Service for Puppet {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        self.served.set(self.served.get() + u64::from(request.rpc() != DO));
        match request.rpc() {
            DO => {
                let step = request.recv()?;
                request.finish()?;
                reply.append(&self.act(worker, step))?;
            }
            ECHO => {
                reply.append_bytes(request.recv()?)?;
                request.finish()?;
            }
            ADD => {
                let (a, b): (u32, u32) = (request.recv()?, request.recv()?);
                request.finish()?;
                reply.append(&a.wrapping_add(b))?;
            }
            NOTE => self.noted.borrow_mut().push(request.recv()?),
            FAIL => return Err(Failure::remote(FAILURE.0, FAILURE.1)),
            NAP => std::thread::sleep(Duration::from_millis(request.recv()?)),
            LINGER => self.linger(worker, request)?,
            BACK => back(request, reply)?,
            VISIT => self.visit(worker, request, reply)?,
            DESCRIPTOR => {
                let class = request.descriptor()?.class();
                reply.append(&class)?;
            }
            PICTURE => self.show(request)?,
            TAKE => {
                self.taken.borrow_mut().push_back(request.recv_link()?);
                self.noted.borrow_mut().push(u32::MAX);
            }
            _ => return Err(Failure::NoSuchMethod),
        }
        Ok(())
    }
}

/// Calls back whoever called, until the depth that was asked for is reached.
fn back(request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let (left, bytes): (u8, &[u8]) = (request.recv()?, request.recv()?);
    let mut message = Message::new();
    let rpc = if left == 0 {
        message.append_bytes(bytes)?;
        ECHO
    } else {
        message.append(&(left - 1))?.append_bytes(bytes)?;
        BACK
    };
    let answer = request.link().call(rpc, &mut message).map_err(|error| inner(error.why))?;
    reply.append(&Verbatim(answer.payload()))?;
    Ok(())
}

/// What a nested call died of, for whoever made the outer one.
fn inner(why: cloison_worker::msg::CallFailure) -> Failure {
    match why {
        cloison_worker::msg::CallFailure::Failed(failure) => failure,
        other => Failure::remote(1, other.to_string()),
    }
}

impl Puppet {
    fn visit(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let roles: Vec<String> = request.recv()?;
        request.finish()?;
        let _span = tracing::info_span!("visit", left = roles.len()).entered();
        tracing::info!(before = true, "visited");
        let mut visited = vec![worker.role().to_string()];
        if let Some((next, rest)) = roles.split_first() {
            let link = self.link_to(worker, next)?;
            let mut message = Message::new();
            message.append(rest)?;
            let answer = link.call(VISIT, &mut message).map_err(|error| inner(error.why))?;
            visited.extend(answer.value::<Vec<String>>()?);
        }
        reply.append(&visited)?;
        Ok(())
    }

    fn linger(&self, worker: &Worker, request: &mut Request<'_>) -> Result<(), Failure> {
        let number: u32 = request.recv()?;
        let mut message = Message::new();
        message.append(&number)?;
        self.link_to(worker, cloison_worker::msg::HOST)?.oneway(NOTE, &mut message)?;
        while !request.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.noted.borrow_mut().push(number);
        Ok(())
    }

    fn link_to(&self, worker: &Worker, role: &str) -> Result<Link, Failure> {
        if let Some(link) = self.visited.borrow().get(role).filter(|link| link.gone().is_none()) {
            return Ok(link.clone());
        }
        let link = worker.open(role, &PEER).map_err(|error| Failure::remote(2, error.to_string()))?;
        self.visited.borrow_mut().insert(role.to_owned(), link.clone());
        Ok(link)
    }

    fn show(&self, request: &mut Request<'_>) -> Result<(), Failure> {
        let picture: Picture = request.recv()?;
        let borrowed = request.borrow(picture.buffer).map_err(|error| Failure::remote(3, error.to_string()))?;
        if self.keeps.get() {
            self.kept.borrow_mut().push_back(borrowed);
        }
        Ok(())
    }
}
