//! Links that move from one process to another.

use std::time::Duration;

use cloison_broker::msg::{CallFailure, Gone, Message, Rights, RpcSet, Time};
use cloison_broker::{HOST, Item, Model, WhyRelayed};

use crate::case::{Case, module, thrice};
use crate::host::{AMPLE, Host, Puppet, anything_goes, delegable, message};
use crate::watch::eventually;
use crate::words::{ADD, BACK, ECHO, NAP, NOTE, Outcome, PEER, Step, TAKE, encoded, monotonic};

pub fn cases() -> Vec<Case> {
    module(
        "handing",
        vec![
            thrice("a_copy_is_a_link_of_its_own", a_copy_is_a_link_of_its_own),
            thrice("a_moved_link_has_another_holder", a_moved_link_has_another_holder),
            thrice("calls_in_flight_on_a_moved_link_end_once", calls_in_flight_on_a_moved_link_end_once),
            thrice("what_carries_a_link_keeps_its_place", what_carries_a_link_keeps_its_place),
            thrice("uses_are_shared_and_an_expiry_travels", uses_are_shared_and_an_expiry_travels),
            thrice("what_may_not_be_handed_on_stays", what_may_not_be_handed_on_stays),
            thrice("revoked_at_the_root_all_branches_end", revoked_at_the_root_all_branches_end),
            thrice("the_host_gives_and_takes_links", the_host_gives_and_takes_links),
            thrice("a_peer_of_the_hosts_moves", a_peer_of_the_hosts_moves),
        ],
    )
}

/// Everything that a puppet does, and to hand it on.
fn all() -> Rights {
    Rights::methods(PEER.all()).lending().delegable()
}

/// `a` with links to `b` and to `c`.
fn three(model: Model) -> (Host, [Puppet; 3], [usize; 2]) {
    let host = Host::new(model, delegable);
    let puppets = ["a", "b", "c"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let links = ["b", "c"].map(|role| puppets[0].open(role));
    (host, puppets, links)
}

fn echo(puppet: &Puppet, link: usize) -> Result<Vec<u8>, String> {
    puppet.call(link, ECHO, encoded("well"))
}

fn a_copy_is_a_link_of_its_own(model: Model) {
    let (host, [a, b, c], [to_b, to_c]) = three(model);
    let few = Rights { methods: RpcSet::NONE.with(ECHO).with(NOTE), ..all() };
    for round in 0..4 {
        assert_eq!(a.hand(to_c, to_b, false, few.clone()), Ok(()));
        let copy = c.adopt();
        assert_eq!(echo(&c, copy), Ok(encoded("well")));
        let denied = c.call(copy, ADD, [encoded(&1u32), encoded(&1u32)].concat());
        assert_eq!(denied, Err("Failed(Denied(Method))".into()), "the giver left it out");
        assert_eq!(c.notes(copy, 100 * round, 90), (90, None));
        assert_eq!(echo(&c, copy), Ok(encoded("well")));
        assert_eq!(echo(&a, to_b), Ok(encoded("well")), "the giver keeps its own");
    }
    let expected: Vec<u32> = (0..4).flat_map(|round| 100 * round..100 * round + 90).collect();
    assert_eq!(b.noted(), expected);
    let views = host.broker.explain("c", "b");
    assert_eq!(views.len(), 4);
    let root = host.view("a", "b").id;
    for view in views {
        assert_eq!((view.given_by.as_ref().map(|giver| giver.as_str()), view.parent), (Some("a"), Some(root)));
        assert!(view.rights.is_within(&few), "{view}");
    }
}

fn a_moved_link_has_another_holder(model: Model) {
    let (host, [a, b, c], [to_b, to_c]) = three(model);
    assert_eq!(a.notes(to_b, 0, 50), (50, None));
    let link = host.view("a", "b").id;
    assert_eq!(a.hand(to_c, to_b, true, all()), Ok(()));
    assert_eq!(a.gone(to_b), Some(format!("{:?}", Gone::Moved)));
    assert_eq!(echo(&a, to_b), Err(format!("{:?}", CallFailure::Gone(Gone::Moved))));
    let moved = c.adopt();
    assert_eq!(c.notes(moved, 50, 50), (50, None));
    // Both ways: who is called calls back over the same link, which leads to its new holder.
    for depth in [0u8, 1, 4] {
        assert_eq!(c.call(moved, BACK, [encoded(&depth), encoded("back")].concat()), Ok(encoded("back")));
    }
    assert_eq!(b.noted(), (0..100).collect::<Vec<_>>(), "one holder after the other, in order");
    assert_eq!(host.view("c", "b").id, link, "it is the same link");
    assert_eq!(a.served(), 0, "nothing reaches the former holder");
    // And on it goes, as often as one likes.
    let c_to_a = c.open("a");
    assert_eq!(c.hand(c_to_a, moved, true, all()), Ok(()));
    let back = a.adopt();
    assert_eq!(echo(&a, back), Ok(encoded("well")));
    assert_eq!(a.hand(to_c, back, true, all()), Ok(()));
    assert_eq!(echo(&c, c.adopt()), Ok(encoded("well")));
}

fn calls_in_flight_on_a_moved_link_end_once(model: Model) {
    let (_host, [a, b, c], [to_b, to_c]) = three(model);
    let step = Step::HandBusy { by: to_c, link: to_b, calls: 20, nap: 15, rights: all() };
    let Outcome::Replies(replies) = a.tell(&step) else { panic!("no replies") };
    assert_eq!(replies.len(), 21);
    assert_eq!(replies[20], Ok(vec![]), "the link was taken");
    let moved = Err(format!("{:?}", CallFailure::Gone(Gone::Moved)));
    assert!(replies[..20].iter().all(|reply| *reply == Ok(vec![]) || *reply == moved), "{replies:?}");
    let given = c.adopt();
    // As many calls as may be in flight: none of the former holder's takes up a place.
    let payloads = vec![encoded("well"); 32];
    assert_eq!(c.calls(given, ECHO, payloads, AMPLE), vec![Ok(encoded("well")); 32]);
    assert!(b.served() >= 32);
}

fn what_carries_a_link_keeps_its_place(model: Model) {
    let (_host, [a, _, c], [to_b, to_c]) = three(model);
    let hand = |calls| Step::Hand { by: to_c, link: to_b, moves: false, calls, rights: all() };
    let mut expected = Vec::new();
    for round in 0..12u32 {
        let from = 100 * round;
        let count = 5 + round * 3;
        assert_eq!(a.notes(to_c, from, count), (count, None));
        expected.extend(from..from + count);
        assert_eq!(a.tell(&hand(round % 3 == 0)), Outcome::Replies(vec![Ok(vec![])]));
        expected.push(u32::MAX);
    }
    assert_eq!(echo(&a, to_c), Ok(encoded("well")));
    assert_eq!(c.noted(), expected);
    for _ in 0..12 {
        assert_eq!(echo(&c, c.adopt()), Ok(encoded("well")));
    }
}

fn uses_are_shared_and_an_expiry_travels(model: Model) {
    let (host, [a, _, c], [to_b, to_c]) = three(model);
    assert_eq!(a.hand(to_c, to_b, false, all().for_uses(3)), Ok(()));
    let counted = c.adopt();
    let view = host.view("c", "b");
    assert!(matches!(view.why_relayed, Some(WhyRelayed::Guard(_))), "{view}");
    let answers: Vec<_> = (0..5).map(|_| echo(&c, counted)).collect();
    assert_eq!(answers[..3], vec![Ok(encoded("well")); 3]);
    assert_eq!(answers[3..], vec![Err("Failed(Denied(Exhausted))".to_owned()); 2]);

    assert_eq!(a.hand(to_c, to_b, false, all().once(RpcSet::NONE.with(ECHO))), Ok(()));
    let once = c.adopt();
    assert_eq!(echo(&c, once), Ok(encoded("well")));
    assert_eq!(echo(&c, once), Err("Failed(Denied(Spent))".into()));
    assert_eq!(c.call(once, NAP, encoded(&0u64)), Ok(vec![]), "other methods go on");

    let end = Time(monotonic()).after(Duration::from_millis(1500));
    assert_eq!(a.hand(to_c, to_b, false, all().until(end)), Ok(()));
    let brief = c.adopt();
    assert_eq!(echo(&c, brief), Ok(encoded("well")));
    eventually("the grant expires", || (Time(monotonic()) >= end).then_some(()));
    assert_eq!(echo(&c, brief), Err("Failed(Denied(Expired))".into()));
    assert_eq!(echo(&a, to_b), Ok(encoded("well")), "the giver's own goes on");
}

fn what_may_not_be_handed_on_stays(model: Model) {
    let host = Host::new(model, anything_goes);
    for role in ["a", "b", "c"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let (to_b, to_c) = (a.open("b"), a.open("c"));
    for moves in [false, true] {
        let denied = a.hand(to_c, to_b, moves, all()).unwrap_err();
        assert_eq!(denied, "Failed(Denied(Delegation))");
        assert_eq!(echo(&a, to_b), Ok(encoded("well")), "it has lost nothing");
    }
    assert!(host.broker.explain("c", "b").is_empty());
}

fn revoked_at_the_root_all_branches_end(model: Model) {
    let (host, [a, b, c], [to_b, to_c]) = three(model);
    host.spawn("d");
    let d = host.puppet("d");
    let c_to_d = c.open("d");
    let other = d.open("b");
    assert_eq!(a.hand(to_c, to_b, false, all()), Ok(()));
    let second = c.adopt();
    assert_eq!(c.hand(c_to_d, second, false, all()), Ok(()));
    let third = d.adopt();
    assert_eq!(echo(&d, third), Ok(encoded("well")));
    host.broker.link(host.view("a", "b").id).revoke().wait();
    let served = b.served();
    let revoked = Err(format!("{:?}", CallFailure::Gone(Gone::Revoked)));
    for (puppet, link) in [(&a, to_b), (&c, second), (&d, third)] {
        assert_eq!(echo(puppet, link), revoked);
    }
    assert_eq!(b.served(), served);
    assert_eq!(echo(&d, other), Ok(encoded("well")), "what comes from elsewhere goes on");
    assert!(host.broker.explain("a", "b").is_empty() && host.broker.explain("c", "b").is_empty());
}

fn the_host_gives_and_takes_links(model: Model) {
    let (mut host, [a, _, _], [to_b, _]) = three(model);
    let to_host = a.open(HOST);
    // The host's own, as a copy and for good.
    let own = host.broker.open("b", &PEER).unwrap();
    let mut carrying = Message::new();
    carrying.append_link(&own, &all()).unwrap();
    a.0.call(TAKE, carrying).unwrap();
    assert_eq!(echo(&a, a.adopt()), Ok(encoded("well")));
    assert!(own.call(ECHO, message(&encoded("well"))).is_ok());
    let mut carrying = Message::new();
    carrying.move_link(&own, &all()).unwrap();
    a.0.call(TAKE, carrying).unwrap();
    assert_eq!(echo(&a, a.adopt()), Ok(encoded("well")));
    assert!(matches!(own.call(ECHO, message(&[])).unwrap_err().why, CallFailure::Gone(_)));
    // A worker's.
    let hand = Step::Hand { by: to_host, link: to_b, moves: false, calls: true, rights: all() };
    let waiting = a.start(&hand);
    let mut taken = host.message();
    let link = taken.recv_link().unwrap();
    assert!(taken.recv_link().is_err());
    taken.reply(Message::new());
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(vec![])]));
    assert_eq!(link.peer().as_str(), "b");
    assert!(link.call(ECHO, message(&encoded("well"))).is_ok());
    // One that nobody takes is closed.
    let before = host.broker.explain(HOST, "b").len();
    let waiting = a.start(&hand);
    host.message().reply(Message::new());
    assert!(waiting.wait::<Outcome>().is_ok());
    eventually("it is closed", || (host.broker.explain(HOST, "b").len() == before).then_some(()));
}

fn a_peer_of_the_hosts_moves(model: Model) {
    let (mut host, [a, _, c], [_, to_c]) = three(model);
    let to_host = a.open(HOST);
    assert_eq!(a.notes(to_host, 1, 1), (1, None));
    let link = host.message().link();
    assert_eq!(link.peer().as_str(), "a");
    let pending = link.start(NAP, message(&encoded(&300u64)), AMPLE);
    let moving = a.start(&Step::Hand { by: to_c, link: to_host, moves: true, calls: true, rights: all() });
    assert_eq!(moving.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(vec![])]));
    let outcome = pending.wait().map(drop).map_err(|error| error.why);
    assert!(matches!(outcome, Ok(()) | Err(CallFailure::Gone(Gone::Moved))), "{outcome:?}");
    eventually("the peer is another", || (link.peer().as_str() == "c").then_some(()));
    let mut answer = link.call(ECHO, message(&encoded("well"))).unwrap();
    assert_eq!((answer.reader().recv::<String>().as_deref(), answer.peer().as_str()), (Ok("well"), "c"));
    let moved = c.adopt();
    assert_eq!(c.notes(moved, 2, 1), (1, None));
    let note = host.hear("the note", |item| match item {
        Item::Message(note) => Some(note),
        _ => None,
    });
    assert_eq!(note.peer().as_str(), "c");
}
