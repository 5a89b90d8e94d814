//! What is given up, and what a crew dies of.

use std::time::Duration;

use cloison_broker::msg::{CallError, CallFailure};
use cloison_broker::{Death, Item, Model, WorkerEvent, WorkerSpec};
use cloison_sandbox::{Exit, Profile};
use rustix::process::Signal;

use super::crew::{CREW, Crew, CrewClient, THREADS};
use super::scene::{Scene, policy, scene};
use crate::case::{Case, both, once, thrice};
use crate::host::{AMPLE, Host};
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    [
        thrice("who_gives_up_is_heard", who_gives_up_is_heard),
        thrice("a_crash_ends_each_call_once", a_crash_ends_each_call_once),
        both("a_panic_is_the_workers", a_panic_is_the_workers),
        both("what_it_died_of_is_named_if_it_was_alone", what_it_died_of_is_named_if_it_was_alone),
        once("more_than_the_profile_allows_are_an_error_at_the_start", more_than_the_profile_allows),
    ]
    .concat()
}

fn who_gives_up_is_heard(model: Model) {
    let scene = scene(model);
    let (first, second) = (scene.crew.start().linger(), scene.crew.start().linger());
    scene.until_lingering(2, 0);
    drop(first);
    scene.until_lingering(2, 1);
    drop(second);
    scene.until_lingering(2, 2);
    let brief = scene.crew.clone().within(Duration::from_millis(50));
    let _ = brief.linger();
    scene.until_lingering(3, 3);
    // What a worker has made is given up with it.
    let call = scene.foreman.start().linger(3);
    scene.until_lingering(6, 3);
    drop(call);
    scene.until_lingering(6, 6);
    assert!(scene.crew.link().late_answers() >= 2);
}

fn a_crash_ends_each_call_once(model: Model) {
    let Scene { host, crew, foreman } = scene(model);
    let (theirs, ours) = (foreman.start().linger(2), crew.start().linger());
    eventually("they linger", || (crew.lingering() == Ok((3, 0))).then_some(()));
    host.witness("crew").signal(Signal::KILL);
    assert!(matches!(CallError::from(ours.wait().unwrap_err()).why, CallFailure::PeerRestarted(_)));
    assert_eq!(theirs.wait(), Ok(2));
}

fn a_panic_is_the_workers(model: Model) {
    let Scene { mut host, crew, foreman } = scene(model);
    let others = foreman.start().linger(1);
    eventually("it lingers", || (crew.lingering() == Ok((1, 0))).then_some(()));
    let why = CallError::from(crew.panic().unwrap_err()).why;
    assert!(matches!(why, CallFailure::PeerRestarted(_)), "{why:?}");
    assert_eq!(others.wait(), Ok(1));
    let (death, words) = host.death("crew");
    assert!(matches!(death, Death::Itself(Exit::Code(101))), "{death}");
    assert!(words.len() == 1 && words[0].contains("as it was told to"), "{words:?}");
}

fn what_it_died_of_is_named_if_it_was_alone(model: Model) {
    let Scene { mut host, crew, foreman } = scene(model);
    let during = |host: &mut Host| {
        host.hear("its death", |item| match item {
            Item::Worker(WorkerEvent::Died { during, .. }) => Some(during),
            _ => None,
        })
    };
    crew.panic().unwrap_err();
    let named = format!("of method {} ", CREW.method("panic").0);
    let noted = during(&mut host);
    assert!(noted.as_ref().is_some_and(|noted| noted.contains(&named)), "{noted:?}");
    host.broker.progress("crew");
    let crew = CrewClient::bind(&*host.broker, "crew").unwrap().within(AMPLE);
    let other = crew.start().linger();
    eventually("it lingers", || (crew.lingering() == Ok((1, 0))).then_some(()));
    crew.panic().unwrap_err();
    assert_eq!(during(&mut host), None, "nobody could tell of which");
    assert!(other.wait().is_err());
    drop(foreman);
}

fn more_than_the_profile_allows() {
    let mut host = Host::new(Model::Broker, policy);
    // While the worker starts, one more than that may be.
    let profile = Profile::decoder().threads(THREADS - 1);
    host.broker.spawn(WorkerSpec::own("crew").unwrap().profile(profile)).unwrap();
    let words = host.hear("its end", |item| match item {
        Item::Worker(WorkerEvent::Died { last_words, death, .. }) => {
            assert!(matches!(death, Death::Itself(Exit::Code(1))), "{death}");
            Some(last_words)
        }
        _ => None,
    });
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    let is_named = |word: &str| word.contains("of 4 was not started") && word.contains("Profile::threads");
    assert!(words.iter().any(|word| is_named(word)), "{words:?}");
}
