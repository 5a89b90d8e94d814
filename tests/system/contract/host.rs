//! The host as the one that is called.

use std::time::Duration;

use cloison_broker::msg::{Failure, RpcIndex, WINDOW_MESSAGES};
use cloison_broker::{HOST, Model};

use crate::case::{Case, thrice};
use crate::host::{AMPLE, Host, Puppet, message, saying};
use crate::words::{ADD, ECHO, Outcome, Step, encoded, numbers};

pub fn cases() -> Vec<Case> {
    [
        thrice("the_host_serves", the_host_serves),
        thrice("the_host_takes_more_than_a_window", the_host_takes_more_than_a_window),
    ]
    .concat()
}

/// The puppet's own link to the host, opened by the puppet.
fn to_host(puppet: &Puppet) -> usize {
    puppet.open(HOST)
}

fn the_host_serves(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = to_host(&a);
    let step = |rpc: RpcIndex| Step::Call { link, rpc: rpc.0, payloads: vec![encoded("x")], within: AMPLE };

    let waiting = a.start(&step(ECHO));
    let mut call = host.message();
    assert_eq!((call.rpc(), call.peer().as_str(), call.is_call()), (ECHO, "a", true));
    let text = call.reader().recv::<String>().unwrap();
    call.reply(saying(&format!("{text}!")));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(encoded("x!"))]));

    let waiting = a.start(&step(ADD));
    host.message().fail(Failure::NoSuchMethod);
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Err("Failed(NoSuchMethod)".into())]));

    let waiting = a.start(&step(ADD));
    drop(host.message());
    let unanswered = r#"Failed(Unanswerable("the host did not answer"))"#.to_owned();
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Err(unanswered)]));

    // The host calls back over the link it was called by, while the caller waits.
    let waiting = a.start(&step(ECHO));
    let call = host.message();
    let back = call.link().start(ADD, message(&numbers(1, 2)), Duration::from_millis(500)).wait();
    call.reply(saying(&"y"));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(encoded("y"))]));
    // It is another chain: served before or after, but never in the way.
    if let Ok(mut back) = back {
        assert_eq!(back.reader().recv::<u32>(), Ok(3));
    }
}

fn the_host_takes_more_than_a_window(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = to_host(&a);
    let count = 1000;
    let sending = a.start(&Step::Notes { link, from: 0, count, bytes: 1000, within: AMPLE });
    for expected in 0..count {
        let mut note = host.message();
        assert_eq!(note.reader().recv::<u32>(), Ok(expected));
    }
    assert_eq!(sending.wait::<Outcome>().unwrap(), Outcome::Sent(count, None));
    for i in 0..200u32 {
        let step = Step::Call { link, rpc: ADD.0, payloads: vec![encoded(&i)], within: AMPLE };
        let waiting = a.start(&step);
        let mut call = host.message();
        let value = call.reader().recv::<u32>().unwrap();
        call.reply(saying(&value));
        assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(encoded(&i))]));
    }
    // A host that does not take what comes slows its sender down, at the window's end.
    let brief = Duration::from_millis(60);
    let (sent, stop) = a.sent(&Step::Notes { link, from: 0, count, bytes: 0, within: brief });
    assert_eq!(stop.as_deref(), Some("Overloaded"));
    assert!(u64::from(sent) <= WINDOW_MESSAGES && sent >= 32, "{sent}");
}
