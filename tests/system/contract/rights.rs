//! What rights leave out, and what a policy does.

use std::time::{Duration, Instant};

use cloison_broker::msg::{CALLS_IN_FLIGHT, DescriptorClasses, Rights, RightsFlags, RpcIndex, RpcSet, Time};
use cloison_broker::{Ask, Grant, HOST, Model};

use crate::case::{Case, thrice};
use crate::host::{Host, anything_goes};
use crate::words::{ADD, DESCRIPTOR, ECHO, NOTE, PEER, decoded, encoded, monotonic, numbers};

pub fn cases() -> Vec<Case> {
    [
        thrice("what_rights_leave_out_is_denied", what_rights_leave_out_is_denied),
        thrice("rights_that_guard_others_are_kept", rights_that_guard_others_are_kept),
        thrice("what_the_policy_does_not_grant_is_not_there", what_the_policy_does_not_grant_is_not_there),
    ]
    .concat()
}

/// For how long a link to `b-soon` may be used.
const EXPIRES_AFTER: Duration = Duration::from_secs(2);

/// What each role may be used for: links to `b-…` are granted as the name says.
fn by_name(ask: &Ask<'_>) -> Option<Grant> {
    let all = Rights::methods(PEER.all());
    let once = RpcSet::NONE.with(ADD);
    let rights = match ask.to.as_str() {
        "b-echo" => Rights::methods(RpcSet::NONE.with(ECHO)),
        "b-calls" => Rights { flags: RightsFlags::CALL, ..all },
        "b-oneways" => Rights { flags: RightsFlags::ONEWAY, ..all },
        "b-three" => Rights { uses: Some(3), ..all },
        "b-once" => Rights { once, ..all },
        "b-never" => Rights { expires: Some(Time(1)), ..all },
        "b-soon" => Rights { expires: Some(Time(monotonic()).after(EXPIRES_AFTER)), ..all },
        "b-pipes" => all.passing(DescriptorClasses::PIPE),
        _ => return anything_goes(ask),
    };
    // The host itself is not to be kept out.
    let rights = if ask.from.as_str() == HOST { Rights::methods(PEER.all()) } else { rights };
    Some(Grant { rights, back: Rights::default() })
}

fn what_rights_leave_out_is_denied(model: Model) {
    let host = Host::new(model, by_name);
    for role in ["a", "b-echo", "b-calls", "b-oneways", "b"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let [echo, calls, oneways, plain] = ["b-echo", "b-calls", "b-oneways", "b"].map(|role| a.open(role));
    let fine = Ok(encoded("fine"));

    assert_eq!(a.call(echo, ECHO, encoded("fine")), fine);
    assert_eq!(a.call(echo, ADD, numbers(1, 1)), Err("Failed(Denied(Method))".into()));
    assert_eq!(a.call(echo, RpcIndex(40), vec![]), Err("Failed(Denied(Method))".into()));
    assert_eq!(a.call(echo, RpcIndex(u16::MAX), vec![]), Err("Failed(Denied(Method))".into()));
    // Nobody answers a oneway, so a denied one vanishes; but not the room it took, however many there are.
    assert_eq!(a.notes(echo, 0, 300), (300, None));
    assert_eq!(a.call(echo, ECHO, encoded("fine")), fine);

    assert_eq!(a.call(calls, NOTE, encoded(&1u32)), Ok(vec![]));
    assert_eq!(a.notes(calls, 2, 100), (100, None));
    assert_eq!(a.call(calls, ECHO, encoded("fine")), fine);

    assert_eq!(a.notes(oneways, 3, 2), (2, None));
    for _ in 0..2 * CALLS_IN_FLIGHT {
        assert_eq!(a.call(oneways, ECHO, encoded("no")), Err("Failed(Denied(Kind))".into()));
    }
    assert_eq!(a.call(plain, DESCRIPTOR, vec![]), Err("Failed(Denied(Descriptor))".into()));

    let noted = ["b-echo", "b-calls", "b-oneways"].map(|role| host.puppet(role).noted());
    assert_eq!(noted, [vec![], vec![1], vec![3, 4]]);
    // Back is another direction, with rights of its own: here none. The asked side answers, and does nothing else.
    let back = host.puppet("b-echo");
    assert!(back.try_open("a", "peer").is_ok(), "a link of its own is another grant");
}

fn rights_that_guard_others_are_kept(model: Model) {
    let host = Host::new(model, by_name);
    for role in ["a", "b-three", "b-once", "b-never", "b-soon", "b-pipes"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let soon = a.open("b-soon");
    assert_eq!(a.call(soon, ADD, numbers(1, 1)), Ok(encoded(&2u32)));
    let granted = Instant::now();

    let three = a.open("b-three");
    let mut answers: Vec<_> = (0..5).map(|_| a.call(three, ADD, numbers(1, 1))).collect();
    assert_eq!(answers.split_off(3), vec![Err("Failed(Denied(Exhausted))".to_owned()); 2]);
    assert_eq!(answers, vec![Ok(encoded(&2u32)); 3]);

    let once = a.open("b-once");
    assert_eq!(a.call(once, ADD, numbers(1, 1)), Ok(encoded(&2u32)));
    assert_eq!(a.call(once, ADD, numbers(1, 1)), Err("Failed(Denied(Spent))".into()));
    assert_eq!(a.call(once, ECHO, encoded("other methods go on")), Ok(encoded("other methods go on")));

    let never = a.open("b-never");
    assert_eq!(a.call(never, ADD, numbers(1, 1)), Err("Failed(Denied(Expired))".into()));

    let pipes = a.open("b-pipes");
    let class = a.call(pipes, DESCRIPTOR, vec![]).unwrap();
    assert_eq!(decoded::<DescriptorClasses>(&class), DescriptorClasses::PIPE);

    std::thread::sleep((EXPIRES_AFTER + Duration::from_millis(20)).saturating_sub(granted.elapsed()));
    assert_eq!(a.call(soon, ADD, numbers(1, 1)), Err("Failed(Denied(Expired))".into()));
}

fn what_the_policy_does_not_grant_is_not_there(model: Model) {
    let policy = |ask: &Ask<'_>| {
        let granted = ask.from.as_str() == HOST || (ask.from.as_str() == "a" && ask.to.as_str() == "b");
        granted.then(|| anything_goes(ask)).flatten()
    };
    let host = Host::new(model, policy);
    for role in ["a", "b", "c"] {
        host.spawn(role);
    }
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    assert!(a.try_open("b", "peer").is_ok());
    let not_found = Err("NotFound".to_owned());
    assert_eq!(a.try_open("b", "other"), not_found, "another interface");
    assert_eq!(a.try_open("c", "peer"), not_found, "another role");
    assert_eq!(b.try_open("a", "peer"), not_found, "the other way round");
    assert_eq!(a.try_open("a", "peer"), not_found, "oneself");
    assert_eq!(a.try_open("host", "peer"), not_found, "the host");
    assert_eq!(a.try_open("nobody", "peer"), not_found, "a role that is not");
    let unknown = host.broker.open("nobody", &PEER).unwrap_err();
    assert_eq!(unknown.why, cloison_broker::msg::Refusal::NotFound);
}
