//! Two workers that call each other among many that do not.

use cloison_broker::Model;
use cloison_broker::msg::Interface;
use cloison_worker::{Role, ServeError, Worker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::calls;
use crate::floor::{Placement, Row, Running};
use crate::scene::{self, Scene};

/// Over the broker.
pub const RELAYED: Row = Row {
    name: "relayed, in a crowd",
    against: Some("call, through the broker"),
    start: |at| start(at, Model::Broker),
};
/// Directly.
pub const DIRECT: Row =
    Row { name: "direct, in a crowd", against: Some("call, direct"), start: |at| start(at, Model::Orchestrator) };

/// How many workers there are beside the two.
const BYSTANDERS: usize = 198;

/// How many links each of them opens, to those that started before it: 1167 in all.
const LINKS_EACH: usize = 6;

const STAND_BY: Interface = Interface::new("stand-by", &["nothing"]);

/// The two, and the others. A role is a word for the policy, so each of them has its own.
static NAMES: std::sync::LazyLock<Vec<(&'static str, usize)>> = std::sync::LazyLock::new(|| {
    let others = (0..BYSTANDERS).map(|number| (&*format!("bystander-{number}").leak(), 0));
    others.chain([("caller", 0), ("echo", 2)]).rev().collect()
});

/// What this executable can be as a bystander.
pub fn roles() -> Vec<Role<'static, ServeError>> {
    let others = NAMES.iter().filter(|(name, _)| name.starts_with("bystander"));
    others.map(|&(name, _)| (name, bystander as fn(&Worker) -> Result<(), ServeError>)).collect()
}

/// Opens its links, and is called by nobody.
fn bystander(worker: &Worker) -> Result<(), ServeError> {
    let number: usize = worker.role().as_str().trim_start_matches("bystander-").parse().expect("its number");
    let links: Vec<_> = peers(number).map(|peer| worker.open(&peer, &STAND_BY).expect("granted")).collect();
    worker.serve(move |_: &Worker, _: &mut cloison_worker::Request<'_>, _: &mut _| {
        let _ = &links;
        Ok(())
    })
}

/// To whom a bystander has links.
fn peers(number: usize) -> impl Iterator<Item = String> {
    (number + 1..BYSTANDERS).take(LINKS_EACH).map(|peer| format!("bystander-{peer}"))
}

/// As many descriptors as this process may have: each worker and each direct link takes some.
pub fn allow_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("what is allowed anyway");
}

fn start(placement: Placement, model: Model) -> Running {
    let pairs = (0..BYSTANDERS).flat_map(|from| peers(from).map(move |to| (format!("bystander-{from}"), to)));
    let policy = pairs.fold(calls::policy(), |rules, (from, to)| rules.allow(&from, &to, &STAND_BY));
    let hops = if model == Model::Broker { 2 } else { 1 };
    let mut roles = NAMES.clone();
    roles[0].1 = hops;
    // The measurer comes first.
    roles.swap(0, 1);
    scene::start(placement, Scene { policy, model, roles: roles.leak(), host: scene::idle, beside: None }, ())
}
