//! Workers that serve on several threads, called by the host and by another worker.

mod calling;
mod crew;
mod ends;
mod foreman;
mod scene;

use std::process::ExitCode;
use std::sync::Arc;

use cloison_worker::Threads;

use crate::case::{Case, module};
use crew::{CrewServer, Member, Shared, THREADS};
use foreman::{ForemanServer, Overseer};

pub fn cases() -> Vec<Case> {
    module("threads", vec![calling::cases(), ends::cases()])
}

pub fn main(role: &str) -> ExitCode {
    let is_crew = role.starts_with("crew");
    cloison_worker::run(move |worker| {
        if !is_crew {
            return worker.serve(ForemanServer::new(Overseer::new(worker)));
        }
        let shared = Arc::<Shared>::default();
        worker.serve_on(Threads::new(THREADS as usize, move |thread| {
            CrewServer::new(Member::new(Arc::clone(&shared), thread))
        }))
    })
}
