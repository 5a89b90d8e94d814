use super::*;
use crate::DescriptorClasses;
use crate::{CALLS_IN_FLIGHT, Message, RpcSet};

const NONE: DescriptorClasses = DescriptorClasses::empty();

fn pair(route: Route, rights: Rights) -> (LinkEnd<char>, LinkEnd<char>) {
    let name = Destination { index: 1, generation: 1 };
    let end = |peer: &str| LinkEnd::new(name, Name::new(peer).unwrap(), route, rights.clone());
    (end("b"), end("a"))
}

fn frame(now: u64) -> CallFrame {
    CallFrame { now: Time(now), deadline: Time(now + 1_000_000), chain: ChainId::new(1, 1), depth: 0 }
}

#[test]
fn answers_find_their_calls_in_any_order() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let first = a.call(RpcIndex(0), Shape::default(), frame(0), '1').unwrap();
    let second = a.call(RpcIndex(0), Shape::default(), frame(0), '2').unwrap();
    for call in [&first, &second] {
        assert_eq!(b.handle(Route::Relayed, call, &[], NONE, Time(0)), Ok(Arrival::Request));
    }
    for (call, mark) in [(&second, '2'), (&first, '1')] {
        let reply = b.answer(call, false, Shape::default()).unwrap();
        let Ok(Arrival::Outcome(pending)) = a.handle(Route::Relayed, &reply, &[], NONE, Time(0)) else { panic!() };
        assert_eq!(pending.context, mark);
    }
    let again = b.answer(&first, false, Shape::default()).unwrap();
    assert_eq!(a.handle(Route::Relayed, &again, &[], NONE, Time(0)), Err(Breach::Overdraft(Overdraft::Answer)));
}

#[test]
fn a_late_answer_is_no_breach_and_frees_its_place() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let calls: Vec<_> =
        (0..CALLS_IN_FLIGHT).map(|_| a.call(RpcIndex(0), Shape::default(), frame(0), 'x').unwrap()).collect();
    b.handle(Route::Relayed, &calls[0], &[], NONE, Time(0)).unwrap();
    assert_eq!(a.next_deadline(), Some(Time(1_000_000)));
    while a.expire(Time(1_000_000)).is_some() {}
    assert_eq!(a.next_deadline(), None);
    assert!(a.call(RpcIndex(0), Shape::default(), frame(0), 'x').is_err(), "the peer still owes the answers");
    let late = b.answer(&calls[0], true, Shape::default()).unwrap();
    assert_eq!(a.handle(Route::Relayed, &late, &[], NONE, Time(2)), Ok(Arrival::Late));
    assert!(a.call(RpcIndex(0), Shape::default(), frame(0), 'x').is_ok());
}

#[test]
fn what_is_taken_makes_room_at_both_ends() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let shape = Shape { payload: 60_000, ..Shape::default() };
    for _ in 0..1000 {
        let header = a.oneway(RpcIndex(0), shape, ChainId::default()).expect("the window was opened again");
        assert_eq!(b.handle(Route::Relayed, &header, &[], NONE, Time(0)), Ok(Arrival::Request));
        b.taken(b.via(Route::Relayed), &header);
        if let Some(receipt) = b.due() {
            let mut payload = Message::<()>::new();
            payload.append(&receipt).unwrap();
            let (header, _) = b.credit(receipt, payload.shape());
            let credit = a.handle(Route::Relayed, &header, payload.payload(), NONE, Time(0));
            assert_eq!(credit, Ok(Arrival::Credit));
        }
    }
}

/// A peer may say that it has taken what never left: what leaves by the other route then is no surprise.
#[test]
fn a_credit_for_what_had_not_left_does_no_harm() {
    let (mut a, _) = pair(Route::Direct, Rights::default());
    let mut oneways = (0..2).map(|_| a.oneway(RpcIndex(0), Shape::default(), ChainId::default()).unwrap());
    let (_left, waits) = (oneways.next().unwrap(), oneways.next().unwrap());
    drop(oneways);
    let mut lie = Message::<()>::new();
    let taken = Credit { messages: 2, ..Credit::default() };
    lie.append(&Receipt { route: Route::Direct, taken }).unwrap();
    let credit = Header { kind: Kind::Credit, payload: lie.payload_len(), ..waits };
    assert_eq!(a.handle(Route::Direct, &credit, lie.payload(), NONE, Time(0)), Ok(Arrival::Credit));
    a.reroute(Route::Relayed);
    a.resend(&waits);
    assert!(a.oneway(RpcIndex(0), Shape::default(), ChainId::default()).is_ok());
}

#[test]
fn what_could_not_be_sent_costs_nothing() {
    let (mut a, _) = pair(Route::Relayed, Rights::default());
    for _ in 0..1000 {
        let call = a.call(RpcIndex(0), Shape::default(), frame(0), 'x').unwrap();
        assert_eq!(a.unsend(&call).map(|pending| pending.context), Some('x'));
        let oneway = a.oneway(RpcIndex(0), Shape::default(), ChainId::default()).unwrap();
        assert_eq!(a.unsend(&oneway), None);
    }
}

#[test]
fn only_a_direct_end_judges() {
    let rights = Rights { uses: Some(1), ..Rights::methods(RpcSet::first(1)) };
    for (route, second) in [(Route::Relayed, Arrival::Request), (Route::Direct, Arrival::Denied(Denial::Exhausted))] {
        let (mut a, mut b) = pair(route, rights.clone());
        let mut send = || a.oneway(RpcIndex(0), Shape::default(), ChainId::default()).unwrap();
        assert_eq!(b.handle(route, &send(), &[], NONE, Time(0)), Ok(Arrival::Request));
        assert_eq!(b.handle(route, &send(), &[], NONE, Time(0)), Ok(second));
    }
}

fn oneway(end: &mut LinkEnd<char>, links: u8) -> Header {
    end.oneway(RpcIndex(0), Shape { links, ..Shape::default() }, ChainId::default()).unwrap()
}

fn take(end: &mut LinkEnd<char>, via: Route, header: &Header) -> Arrival<char> {
    end.handle(via, header, &[], NONE, Time(0)).unwrap()
}

#[test]
fn a_link_becomes_direct_and_relayed_again() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::methods(RpcSet::ALL));
    for end in [&mut a, &mut b] {
        end.reroute(Route::Direct);
        assert!(!end.take_settled(), "the peer has not switched");
    }
    assert_eq!((a.outbound(), a.inbound()), (Route::Direct, Route::Relayed));
    assert_eq!(take(&mut b, Route::Relayed, &a.switch()), Arrival::Switched);
    assert_eq!(b.inbound(), Route::Direct);
    assert!(b.take_settled() && !b.take_settled(), "said once");
    assert_eq!(take(&mut a, Route::Relayed, &b.switch()), Arrival::Switched);
    assert!(a.take_settled());
    assert_eq!(take(&mut b, Route::Direct, &oneway(&mut a, 0)), Arrival::Request);

    for end in [&mut a, &mut b] {
        end.reroute(Route::Relayed);
        assert!(!end.take_settled());
        end.handle_end();
        assert!(end.take_settled());
    }
    assert_eq!(take(&mut b, Route::Relayed, &oneway(&mut a, 0)), Arrival::Request);
    assert_eq!(b.handle(Route::Relayed, &a.switch(), &[], NONE, Time(0)), Err(Breach::Switch), "no socket is left");
}

#[test]
fn credits_by_both_routes_must_not_overtake_each_other() {
    let (mut a, mut b) = pair(Route::Direct, Rights::methods(RpcSet::ALL));
    let mut receipts = Vec::new();
    while receipts.len() < 2 {
        let header = oneway(&mut a, 0);
        take(&mut b, Route::Direct, &header);
        b.taken(b.via(Route::Direct), &header);
        receipts.extend(b.due());
    }
    // The first went by the socket; then the link became relayed, and the second went over the broker.
    assert!(a.may_outrun(), "so the socket is read first");
    assert_eq!(a.sent.credit(receipts[0]), Ok(()));
    assert_eq!(a.sent.credit(receipts[1]), Ok(()));
    assert_eq!(a.sent.credit(receipts[0]), Err(Overdraft::Credit), "the other way round it looks like a lie");
}

#[test]
fn what_carries_a_link_makes_an_excursion() {
    let (mut a, mut b) = pair(Route::Direct, Rights::methods(RpcSet::ALL));
    let carrying = oneway(&mut a, 1);
    assert_eq!(a.passage(&carrying), Passage::Excursion);
    let early = oneway(&mut a, 0);
    assert_eq!(a.passage(&early), Passage::By(Route::Direct));
    assert_eq!(take(&mut b, Route::Direct, &a.switch()), Arrival::Switched);
    assert_eq!(b.inbound(), Route::Relayed, "the socket is not read, so nothing overtakes");
    assert_eq!(take(&mut b, Route::Relayed, &carrying), Arrival::Request);
    assert_eq!(take(&mut b, Route::Relayed, &a.switch()), Arrival::Switched);
    assert_eq!(take(&mut b, Route::Direct, &early), Arrival::Request);
}

/// The broker would take the next message for one too many.
#[test]
fn a_credit_for_what_was_relayed_does_not_pass_the_broker_by() {
    let (mut a, _) = pair(Route::Direct, Rights::default());
    let carrying = oneway(&mut a, 1);
    let taken = Credit::of(Kind::Oneway, carrying.shape());
    let mut message = Message::<()>::new();
    message.append(&Receipt { route: Route::Relayed, taken }).unwrap();
    let header = Header { kind: Kind::Credit, payload: message.payload_len(), ..carrying };
    for (via, result) in [(Route::Direct, Err(Breach::Credit)), (Route::Relayed, Ok(Arrival::Credit))] {
        assert_eq!(a.handle(via, &header, message.payload(), NONE, Time(0)), result);
    }
}

#[test]
fn excursions_have_their_place_in_the_window_to_the_end() {
    let (mut a, mut b) = pair(Route::Direct, Rights::methods(RpcSet::ALL));
    for _ in 0..1000 {
        let carrying = oneway(&mut a, 1);
        for (via, header) in [(Route::Direct, a.switch()), (Route::Relayed, carrying), (Route::Relayed, a.switch())] {
            take(&mut b, via, &header);
        }
        b.taken(b.via(Route::Relayed), &carrying);
        if let Some(receipt) = b.due() {
            assert_eq!(receipt.route, Route::Relayed);
            let (_, route) = b.credit(receipt, Shape::default());
            assert_eq!(route, Route::Relayed, "the broker has counted them, so it must hear of it");
            a.sent.credit(receipt).unwrap();
        }
    }
}

#[test]
fn who_gets_a_moved_end_goes_on_where_the_former_holder_was() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let to_b = a.call(RpcIndex(0), Shape::default(), frame(0), 'x').unwrap();
    let to_a = b.call(RpcIndex(0), Shape::default(), frame(0), 'y').unwrap();
    assert_eq!(take(&mut b, Route::Relayed, &to_b), Arrival::Request);
    let received = Credit { messages: 1, ..Credit::default() };
    let balance = Balance { sent: a.sent.account(Route::Relayed), received, moves: 1, peer_moves: 0 };
    let (mut c, _) = pair(Route::Relayed, Rights::default());
    c = c.resume(balance);
    b.sent.credit(Receipt { route: Route::Relayed, taken: received }).unwrap();
    let failed = b.handle_move(Name::new("c").unwrap(), to_a.call);
    assert_eq!(failed.iter().map(|pending| pending.context).collect::<String>(), "y");
    assert_eq!(b.answer(&to_b, false, Shape::default()), Err(Overdraft::Answer), "nobody waits for it");
    for _ in 0..CALLS_IN_FLIGHT {
        let call = c.call(RpcIndex(0), Shape::default(), frame(0), 'z').unwrap();
        assert!(call.call > to_b.call);
        assert_eq!(take(&mut b, Route::Relayed, &call), Arrival::Request);
        let call = b.call(RpcIndex(0), Shape::default(), frame(0), 'w').unwrap();
        assert_eq!(take(&mut c, Route::Relayed, &call), Arrival::Request);
    }
}
