//! Serving a contract.

use std::os::fd::OwnedFd;

use cloison_msg::contract::{Dispatch, Server, serving};
use cloison_msg::{Failure, Message};

use crate::{Link, Request, Service, Worker};

impl<M: Dispatch<Link>> Service for Server<M> {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        serving::serve(worker.as_served(), || self.answer(request.rpc(), request.reader(), reply))
    }
}
