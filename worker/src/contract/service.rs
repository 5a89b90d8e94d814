//! Serving a contract.

use std::os::fd::OwnedFd;

use cloison_ipc::Passed;
use cloison_msg::contract::{Dispatch, Server};
use cloison_msg::{Failure, Message};

use crate::{Request, Service, Worker};

impl<M: Dispatch<Passed, OwnedFd>> Service for Server<M> {
    fn serve(&self, _: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        self.answer(request.rpc(), request.reader(), reply)
    }
}
