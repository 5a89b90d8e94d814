//! How links end: by a crash, and by being closed.

use cloison_broker::msg::{CallFailure, Gone};
use cloison_broker::{Item, Model, WorkerEvent};

use crate::case::{Case, thrice};
use crate::host::{AMPLE, Host, message, saying};
use crate::words::{ECHO, End, NAP, Outcome, Step, encoded};

pub fn cases() -> Vec<Case> {
    [
        thrice("a_crash_ends_each_call_once", a_crash_ends_each_call_once),
        thrice("a_closed_link_is_closed_at_both_ends", a_closed_link_is_closed_at_both_ends),
    ]
    .concat()
}

fn a_crash_ends_each_call_once(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let ends = [
        (Some(End::Abort), "killed by SIGABRT"),
        (Some(End::Exit(42)), "exit code 42"),
        (Some(End::Panic), "exit code 101"),
        (Some(End::Forbidden), "forbidden system call socket"),
        (None, "killed by the host: it is time"),
    ];
    for (end, said) in ends {
        let b = host.puppet("b");
        let link = a.open("b");
        let payloads = vec![encoded(&20_000u64); 4];
        // The first call naps, so that all four are pending when b is told to end; b hears of that when it wakes, or
        // is killed before.
        let pending = a.start(&Step::Call { link, rpc: NAP.0, payloads, within: AMPLE });
        let crashed = Gone::Crashed(said.into());
        let own = end.map(|end| b.start(&Step::End(end)));
        if let Some(own) = own {
            // It never comes to that: the nap is longer than the test. So the nap is cut short by a second process.
            drop(own);
            drop(pending);
            host.broker.kill("b", "never mind");
            host.death("b");
            host.restarted("b");
            let b = host.puppet("b");
            let link = a.open("b");
            let dying = b.start(&Step::End(end.unwrap()));
            let answers = a.calls(link, ECHO, vec![encoded("?"); 4], AMPLE);
            assert_eq!(dying.wait::<Outcome>().unwrap_err(), CallFailure::from(crashed.clone()));
            for answer in answers {
                assert_eq!(answer, Err(format!("{:?}", CallFailure::from(crashed.clone()))));
            }
        } else {
            assert!(host.broker.kill("b", "it is time"));
            let expected = vec![Err(format!("{:?}", CallFailure::from(crashed))); 4];
            assert_eq!(pending.wait::<Outcome>().unwrap(), Outcome::Replies(expected));
        }
        let (death, _) = host.death("b");
        assert_eq!(death.to_string(), said);
        host.restarted("b");
    }
}

fn a_closed_link_is_closed_at_both_ends(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (link, other) = (a.open("b"), a.open("b"));
    let back = b.open("a");
    assert_eq!(a.notes(link, 1, 10), (10, None));
    assert_eq!(a.tell(&Step::Close(link)), Outcome::Done);
    let closed = format!("{:?}", Gone::Closed);
    assert_eq!(a.tell(&Step::Gone(link)), Outcome::Gone(Some(closed.clone())));
    assert_eq!(a.call(link, ECHO, vec![0]), Err(format!("{:?}", CallFailure::Gone(Gone::Closed))));
    assert_eq!(a.call(other, ECHO, encoded("another link goes on")), Ok(encoded("another link goes on")));
    // The host's link to b is another one, and nothing is promised about order across links.
    crate::watch::eventually("what was sent before the end arrives", || (b.noted().len() == 10).then_some(()));
    assert_eq!(b.tell(&Step::Close(back)), Outcome::Done);
    // The host's end.
    let own = host.puppet("b").0;
    let name = own.name();
    let pending = own.start(NAP, saying(&5u64), AMPLE);
    own.clone().close();
    assert!(matches!(pending.wait().map(drop), Err(error) if error.why == CallFailure::Gone(Gone::Closed)));
    assert_eq!(own.call(ECHO, message(&[0])).unwrap_err().why, CallFailure::Gone(Gone::Closed));
    // And a worker that leaves tells everybody.
    let own = host.puppet("b").0;
    assert_ne!(own.name(), name, "names are not used again");
    assert!(host.broker.stop("b"));
    host.hear("the end of the link", |item| match item {
        Item::LinkGone { link, why, .. } if link == own.name() => {
            assert_eq!(why, Gone::Closed);
            Some(())
        }
        Item::Worker(WorkerEvent::Died { .. }) => panic!("b was asked to end"),
        _ => None,
    });
    assert_eq!(a.tell(&Step::Gone(other)), Outcome::Gone(Some(closed)));
    let gone = a.try_open("b", "peer").unwrap_err();
    assert_eq!(gone, "PeerGone(Closed)");
}
