//! Policies that defer to the host, policies that are replaced, and what can be asked about links.

use std::time::Duration;

use cloison_broker::msg::{CallFailure, Gone, Rights, RpcSet};
use cloison_broker::{Ask, Decision, Grant, HOST, Item, Model, Question, Rules, Size, StartError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::case::{Case, alone, module, once, thrice};
use crate::host::{AMPLE, Host, Puppet, anything_goes, delegable};
use crate::watch::{Holdings, eventually};
use crate::words::{ADD, ECHO, Outcome, PEER, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "asking",
        vec![
            thrice("a_late_answer_holds_up_nobody_else", a_late_answer_holds_up_nobody_else),
            thrice("another_policy_takes_effect_at_once", another_policy_takes_effect_at_once),
            thrice("explain_says_who_holds_what", explain_says_who_holds_what),
            alone(once("too_few_descriptors_are_an_error_that_says_so", too_few_descriptors)),
            alone(once("a_worker_costs_no_more_descriptors_than_budgeted", what_a_worker_costs)),
        ],
    )
}

/// Who wants to reach `b` waits for the host's user.
fn asks_about_b(ask: &Ask<'_>) -> Decision {
    match (ask.from.as_str(), ask.to.as_str()) {
        (from, "b") if from != HOST => Decision::Defer,
        _ => anything_goes(ask).into(),
    }
}

fn question(host: &mut Host) -> Question {
    host.hear("a question", |item| match item {
        Item::Question(question) => Some(question),
        _ => None,
    })
}

fn a_late_answer_holds_up_nobody_else(model: Model) {
    let mut host = Host::new(model, asks_about_b);
    let [a, _, c] = ["a", "b", "c"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let open = |within| Step::Open { role: "b".into(), interface: "peer".into(), within };
    let waiting = a.start(&open(AMPLE));
    let asked = question(&mut host);
    assert_eq!((asked.from().as_str(), asked.to().as_str(), asked.interface()), ("a", "b", &PEER.name()));
    // Meanwhile everybody else is served.
    let to_host = c.open(HOST);
    assert_eq!(c.notes(to_host, 1, 10), (10, None));
    let link = c.open("a");
    std::thread::sleep(Duration::from_millis(100));
    asked.grant(Grant { rights: Rights::methods(RpcSet::NONE.with(ECHO)), back: Rights::default() });
    let Outcome::Got(Ok(to_b)) = waiting.wait().unwrap() else { panic!("it was granted") };
    assert_eq!(a.call(to_b, ECHO, encoded("well")), Ok(encoded("well")));
    assert_eq!(a.call(to_b, ADD, vec![]), Err("Failed(Denied(Method))".into()));
    assert_eq!(c.call(link, ECHO, encoded("well")), Ok(encoded("well")));
    // Refused, dropped, and asked by one that waits no longer.
    let refused = Outcome::Got(Err("NotFound".into()));
    for refuse in [Question::refuse, drop] {
        let waiting = a.start(&open(AMPLE));
        refuse(question(&mut host));
        assert_eq!(waiting.wait::<Outcome>().unwrap(), refused);
    }
    let waiting = a.start(&open(Duration::from_millis(30)));
    let late = question(&mut host);
    assert!(matches!(waiting.wait::<Outcome>().unwrap(), Outcome::Got(Err(_))));
    let links = host.broker.links().len();
    late.grant(Grant::default());
    eventually("what nobody waits for is closed", || (host.broker.links().len() == links).then_some(()));
    assert_eq!(a.call(to_b, ECHO, encoded("well")), Ok(encoded("well")));
}

fn another_policy_takes_effect_at_once(model: Model) {
    let host = Host::new(model, delegable);
    let [a, b, c] = ["a", "b", "c"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let links = [a.open("b"), a.open("c"), b.open("c")];
    assert_eq!(a.hand(links[1], links[0], false, Rights::methods(PEER.all())), Ok(()));
    let copy = c.adopt();
    let stream = b.start(&Step::Stream { link: links[2], from: 0, lasting: Duration::from_millis(300) });
    // From a to b no more; from a to c only one method; from b to c as before.
    let less = Rights::methods(RpcSet::NONE.with(ECHO));
    let policy = move |ask: &Ask<'_>| match (ask.from.as_str(), ask.to.as_str()) {
        ("a", "b") => None,
        ("a", "c") => Some(Grant { rights: less.clone(), back: Rights::default() }),
        _ => delegable(ask),
    };
    host.broker.set_policy(policy).wait();
    let revoked = Err(format!("{:?}", CallFailure::Gone(Gone::Revoked)));
    assert_eq!(a.call(links[0], ECHO, encoded("?")), revoked);
    assert_eq!(c.call(copy, ECHO, encoded("?")), revoked, "what came of it goes with it");
    assert_eq!(a.call(links[1], ECHO, encoded("well")), Ok(encoded("well")));
    assert_eq!(a.call(links[1], ADD, vec![]), Err("Failed(Denied(Method))".into()));
    let Outcome::Streamed(_, stop, _) = stream.wait().unwrap() else { panic!("no stream") };
    assert_eq!(stop, None, "whom it does not concern goes on");
    assert_eq!(a.try_open("b", "peer"), Err("NotFound".into()));
    // What is granted again is to be asked for again: nothing grows by itself.
    host.broker.set_policy(delegable).wait();
    assert_eq!(a.call(links[1], ADD, vec![]), Err("Failed(Denied(Method))".into()));
    let again = a.open("b");
    assert_eq!(a.call(again, ECHO, encoded("well")), Ok(encoded("well")));
}

fn explain_says_who_holds_what(model: Model) {
    let host = Host::new(model, delegable);
    let [a, _, c]: [Puppet; 3] = ["a", "b", "c"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let (to_b, to_c) = (a.open("b"), a.open("c"));
    let few = Rights::methods(RpcSet::NONE.with(ECHO).with(ADD)).for_uses(9);
    assert_eq!(a.hand(to_c, to_b, false, few), Ok(()));
    c.adopt();
    let text = host.view("c", "b").to_string();
    println!("{text}");
    for part in [
        "c may use peer of b (methods {1, 2}, call oneway stream, 9 times)",
        "a copy from a, first granted to a",
        "relayed, since only the broker can count uses",
    ] {
        assert!(text.contains(part), "{text}");
    }
    println!("{}", host.view("a", "b"));
    assert!(host.view("a", "b").to_string().contains("granted by the policy"));
    assert_eq!(host.view("a", "b").copies, 1);
    assert!(host.broker.explain("a", "nobody").is_empty() && host.broker.explain("", "b").is_empty());
    assert_eq!(host.broker.links().len(), 3 + 3, "the reins, and what is between them");
}

fn limit_descriptors(count: u64) {
    let few = Rlimit { current: Some(count), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, few).unwrap();
}

fn too_few_descriptors() {
    let start = |size| cloison_broker::Broker::start_for(size, Rules::new(), Model::Orchestrator).map(drop);
    limit_descriptors(64);
    let error = start(Size::default()).unwrap_err();
    let StartError::Descriptors(why) = &error else { panic!("{error}") };
    let text = error.to_string();
    assert!(text.contains("RLIMIT_NOFILE") && text.contains(&(why.open + why.needed).to_string()), "{text}");
    // What it says is enough is enough, and one less is not.
    let size = Size { workers: 50, direct_links: 200 };
    limit_descriptors(why.open + size.descriptors() - 1);
    assert!(start(size).is_err());
    limit_descriptors(why.open + size.descriptors());
    assert!(start(size).is_ok());
    // A worker too many is an error of its own; whoever is there goes on.
    limit_descriptors(4096);
    let host = Host::with(Model::Orchestrator, &["a", "b"]);
    let a = host.puppet("a");
    let direct = a.open("b");
    limit_descriptors(Holdings::steady().descriptors.values().sum::<usize>() as u64 + 20);
    let error = host.broker.spawn(cloison_broker::WorkerSpec::own("c").unwrap()).unwrap_err().to_string();
    assert!(error.contains("worker c") && error.contains("RLIMIT_NOFILE"), "{error}");
    // A link for which there is no pair of sockets is relayed.
    limit_descriptors(Holdings::steady().descriptors.values().sum::<usize>() as u64 + 1);
    let relayed = a.open("b");
    for link in [direct, relayed] {
        assert_eq!(a.call(link, ECHO, encoded("well")), Ok(encoded("well")));
    }
    let routes: Vec<_> = host.broker.explain("a", "b").iter().map(|view| view.route).collect();
    assert_eq!(routes, [cloison_broker::msg::Route::Direct, cloison_broker::msg::Route::Relayed]);
}

fn what_a_worker_costs() {
    use cloison_broker::{DESCRIPTORS_PER_BROKER, DESCRIPTORS_PER_DIRECT_LINK, DESCRIPTORS_PER_WORKER};
    let count = || Holdings::steady().descriptors.values().sum::<usize>() as u64;
    let before = count();
    let host = Host::with(Model::Orchestrator, &["a"]);
    let with_one = count();
    for role in ["b", "c", "d", "e"] {
        host.spawn(role);
    }
    let with_five = count();
    let a = host.puppet("a");
    for role in ["b", "c", "d", "e"] {
        a.open(role);
    }
    let with_links = count();
    let costs = [with_one - before, with_five - with_one, with_links - with_five];
    println!("descriptors: {costs:?} {:?}", Holdings::steady().descriptors);
    assert!(costs[0] <= DESCRIPTORS_PER_BROKER + DESCRIPTORS_PER_WORKER, "{costs:?}");
    assert!(costs[1] <= 4 * DESCRIPTORS_PER_WORKER, "{costs:?}");
    assert_eq!(costs[2], 4 * DESCRIPTORS_PER_DIRECT_LINK);
}
