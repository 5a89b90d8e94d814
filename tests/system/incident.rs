//! What the host hears of the message that a worker was handling when it made a forbidden call, or died.

use cloison_broker::sandbox::Exit;
use cloison_broker::{Death, Item, Model, WorkerEvent};
use rustix::process::Signal;

use crate::audit;
use crate::case::{Case, both, module, once};
use crate::host::{AMPLE, Host, Puppet};
use crate::watch::eventually;
use crate::words::{DO, ECHO, End, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "incident",
        vec![
            both("who_dies_of_a_call_is_told_with_its_message", who_dies_of_a_call_is_told_with_its_message),
            both("a_refused_call_is_told_with_its_message", a_refused_call_is_told_with_its_message),
            once("who_handles_nothing_is_told_without", who_handles_nothing_is_told_without),
        ],
    )
}

/// The next death of `role`: how, and busy with what.
fn death(host: &mut Host, role: &str) -> (Death, Option<String>) {
    host.hear(&format!("the death of {role}"), |item| match item {
        Item::Worker(WorkerEvent::Died { role: its, death, during, .. }) if its.as_str() == role => {
            Some((death, during))
        }
        _ => None,
    })
}

/// Has the puppet `a` tell its peer on `link` to do something.
fn pass_on(a: &Puppet, link: usize, step: &Step) -> Result<Vec<u8>, String> {
    a.calls(link, DO, vec![encoded(step)], AMPLE).pop().unwrap()
}

/// By the fourth call, so that the number tells which one it was.
fn who_dies_of_a_call_is_told_with_its_message(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let link = a.open("b");
    for _ in 0..3 {
        a.call(link, ECHO, encoded("x")).unwrap();
    }
    let end = Step::End(End::Forbidden);
    let said = format!("of method {} ({} bytes, chain ", DO.0, encoded(&end).len());
    assert!(pass_on(&a, link, &end).is_err());
    let (death, during) = death(&mut host, "b");
    let during = during.expect("it was handling a message");
    assert!(during.starts_with("call 4 ") && during.contains(&said), "{during}");
    assert!(during.ends_with(" from a (peer)"), "{during}");
    let Death::Itself(Exit::ForbiddenCall { name, details }) = death else { panic!("{death}") };
    assert_eq!(name, "socket");
    assert!(details.ends_with(&format!(", while it said it was busy with {during}")), "{details}");
}

fn a_refused_call_is_told_with_its_message(model: Model) {
    let role = if model == Model::Broker { "trespasser-relayed" } else { "trespasser-direct" };
    let host = Host::with(model, &["a", role]);
    let a = host.puppet("a");
    let link = a.open(role);
    pass_on(&a, link, &Step::Trespass).unwrap();
    // It goes on, and to something else.
    a.call(link, ECHO, encoded("x")).unwrap();
    let violation = eventually("its call is seen", || {
        let status = host.broker.workers().into_iter().find(|status| status.role.as_str() == role)?;
        status.violations.calls().first().cloned()
    });
    assert_eq!((violation.call.as_str(), violation.count), ("getppid", 1));
    let during = violation.during.expect("it was handling a message");
    assert!(
        during.starts_with(&format!("call 1 of method {} ", DO.0)) && during.ends_with(" from a (peer)"),
        "{during}"
    );
    let audited = audit::about(role).into_iter().filter(|line| line.contains("forbidden call")).collect::<Vec<_>>();
    assert!(audited.len() == 1 && audited[0].contains("getppid()") && audited[0].contains(&during), "{audited:?}");
}

fn who_handles_nothing_is_told_without() {
    let mut host = Host::with(Model::Broker, &["a"]);
    host.puppet("a").tell(&Step::Noted);
    host.witness("a").signal(Signal::KILL);
    let (death, during) = death(&mut host, "a");
    assert_eq!((death.to_string().as_str(), during), ("killed by SIGKILL", None));
}
