//! Serving a contract.

use std::os::fd::OwnedFd;

use cloison_msg::contract::{Dispatch, Flows, Server, serving};
use cloison_msg::{Failure, Message};

use crate::{Link, Request, Service, Worker};

impl<M: Dispatch<Link>> Service for Server<M> {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let mut flows = Flows::new(request.fed());
        let answer = || self.answer(request.rpc(), request.reader(), reply, &mut flows);
        serving::serve(worker.as_served(), answer)?;
        if let Some(output) = flows.output {
            request.answer_by(output);
        }
        Ok(())
    }
}
