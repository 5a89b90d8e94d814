//! Streams that methods on threads give and are fed.

use std::sync::atomic::Ordering;

use cloison_msg::{Route, STREAM_ITEMS};
use cloison_worker::{MethodError, Stream};

use crate::crew::*;
use crate::peer::*;
use crate::world::World;

over_both_routes![
    streams_are_given_and_fed,
    a_slow_reader_holds_up_nobody_else,
    a_stream_that_is_dropped_ends_on_its_thread,
    a_stream_that_is_dropped_while_it_is_pulled_ends_too,
    what_a_stream_does_at_its_end_is_heard,
    streams_and_calls_take_turns,
];

fn streams_are_given_and_fed(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    for _ in 0..5 {
        assert_eq!(client.numbers().collect::<Result<Vec<_>, _>>().unwrap(), [1, 2, 3]);
        assert_eq!(client.sum(Stream::of(1..=1000)).unwrap(), 500_500);
        let doubled: Vec<_> = client.doubled(Stream::of(100..600)).map(Result::unwrap).collect();
        assert_eq!(doubled, (100..600).map(|number| 2 * number).collect::<Vec<_>>());
        let failed: Vec<_> = client.doubled(Stream::of(11..20)).collect();
        assert_eq!(failed, [Ok(22), Ok(24), Err(MethodError::Own("thirteen".to_owned()))]);
        let many: Vec<u32> = client.count_up(7).take(3000).map(Result::unwrap).collect();
        assert_eq!(many, (7..3007).collect::<Vec<_>>());
    }
}

fn a_slow_reader_holds_up_nobody_else(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let mut slow: Vec<_> = (0..4).map(|from| client.count_up(from * 1_000_000)).collect();
    let first: Vec<u32> = slow.iter_mut().map(|stream| stream.next().unwrap().unwrap()).collect();
    assert_eq!(first, [0, 1_000_000, 2_000_000, 3_000_000]);
    for _ in 0..100 {
        assert_eq!(client.who().unwrap().0, "client");
    }
    for stream in &mut slow {
        let next: Vec<u32> = stream.take(200).map(Result::unwrap).collect();
        assert!(next.windows(2).all(|two| two[0] + 1 == two[1]));
    }
}

fn a_stream_that_is_dropped_ends_on_its_thread(route: Route) {
    let mut world = World::new(route);
    let (shared, served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let mut streams: Vec<_> = (1..=3).map(|from| client.count_up(from)).collect();
    streams.iter_mut().for_each(|stream| assert!(stream.next().unwrap().is_ok()));
    let kept = streams.pop().unwrap();
    drop(streams);
    shared.begun.pass();
    shared.begun.pass();
    let mut ended = shared.noted.lock().unwrap().clone();
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
    // With its link the third ends, too.
    let other = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    client.link().close();
    shared.begun.pass();
    other.note(4).unwrap();
    assert!(other.noted().unwrap().ends_with(&[3, 4]));
    drop(kept);
    drop(world);
    assert_eq!(served.join().unwrap().0, Ok(()));
}

/// It waits for room on a link of its own when its reader goes. So does a stream for room that nobody makes.
fn a_stream_that_is_dropped_while_it_is_pulled_ends_too(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (shared, _served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let busy = PeerClient::bind(&worker, "peer").unwrap().within(SOON);
    let mut stream = client.tell_up(0);
    assert_eq!(stream.next(), Some(Ok(0)));
    while (busy.noted().unwrap().len() as u64) < 3 * STREAM_ITEMS {}
    let lingering = busy.start().linger();
    heard.begun.pass();
    // From now on what is told fills the window, and the stream's credit is for more than that.
    assert_eq!(stream.by_ref().take(39).last(), Some(Ok(39)));
    while u64::from(shared.most.load(Ordering::Relaxed)) < STREAM_ITEMS {
        client.who().unwrap();
    }
    (0..100).for_each(|_| drop(client.who().unwrap()));
    drop(stream);
    assert_eq!(client.who().unwrap().0, "client", "by the other thread, and the crew has heard that it was dropped");
    drop(lingering);
    shared.begun.pass();
    assert_eq!(*shared.noted.lock().unwrap(), [0]);
}

/// When nothing is on any thread, and nobody else says anything.
fn what_a_stream_does_at_its_end_is_heard(route: Route) {
    let mut world = World::new(route);
    let _heard = peer(&mut world);
    let (shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let mut stream = client.call_at_the_end(0);
    assert_eq!(stream.next(), Some(Ok(0)));
    drop(stream);
    shared.begun.pass();
    assert_eq!(*shared.noted.lock().unwrap(), [2]);
}

fn streams_and_calls_take_turns(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let (worker, client) = client(&mut world);
    let other = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    let mut streams: Vec<_> = (0..3).map(|from| client.count_up(from)).collect();
    for round in 0..200 {
        let calls = [(); 4].map(|()| other.start().who());
        for (at, stream) in (0..).zip(&mut streams) {
            assert_eq!(stream.next().unwrap().unwrap(), at + round);
        }
        calls.into_iter().for_each(|call| assert!(call.wait().is_ok()));
    }
}
