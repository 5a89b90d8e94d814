//! Items that name buffers, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cloison_msg::Route;
use cloison_worker::{Answer, Borrowed, BufferRef, Link, Pool, PoolShape, Stream, Worker, interface};
use world::World;

over_both_routes![
    a_stream_waits_for_its_buffers_and_holds_up_nobody,
    a_stream_that_waits_for_its_buffers_can_be_given_up,
    what_is_lent_goes_to_whoever_asks,
];

const SHAPE: PoolShape = PoolShape { buffer_size: 5000, count: 3 };

#[interface]
trait Album {
    /// So many pictures, each full of its number.
    #[deadline("100ms")]
    fn pictures(&self, count: u8) -> Stream<(u8, BufferRef)>;
    /// How many were made.
    fn made(&self) -> Answer<u32>;
}

#[interface]
trait Gallery<L> {
    fn album(&self) -> Answer<AlbumClient<L>>;
}

#[interface]
trait Viewer<L> {
    /// Looks at so many pictures of somebody's album: the sum of their numbers.
    fn look(&self, album: &AlbumClient<L>, count: u8) -> Answer<u32>;
}

/// One album, to which any number of links lead.
struct Pictures {
    worker: Worker,
    pool: Rc<RefCell<Option<Pool>>>,
    made: Rc<Cell<u32>>,
    ended: Sender<()>,
}

struct Ends(Sender<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Album for Pictures {
    fn pictures(&self, count: u8) -> Stream<(u8, BufferRef)> {
        let (worker, pool, made) = (self.worker.clone(), Rc::clone(&self.pool), Rc::clone(&self.made));
        let (mut numbers, ends) = (1..=count, Ends(self.ended.clone()));
        let next = move || {
            let _ = &ends;
            let number = numbers.next()?;
            let link = worker.link_served().unwrap();
            let mut pool = pool.borrow_mut();
            if pool.as_ref().is_none_or(|pool| *pool.link() != link) {
                *pool = Some(link.pool(SHAPE).unwrap());
            }
            let mut picture = pool.as_ref().unwrap().acquire_within(Duration::ZERO).unwrap();
            picture.fill(number);
            made.set(made.get() + 1);
            Some(Ok((number, picture.lend(5000))))
        };
        let pool = Rc::clone(&self.pool);
        let is_free = move || pool.borrow().as_ref().is_none_or(|pool| pool.lent() < SHAPE.count);
        Stream::new(std::iter::from_fn(next)).ready_when(is_free)
    }

    fn made(&self) -> Answer<u32> {
        Ok(self.made.get())
    }
}

struct House(Worker, Sender<()>);

impl Gallery<Link> for House {
    fn album(&self) -> Answer<AlbumClient<Link>> {
        let (pool, made) = (Rc::default(), Rc::default());
        let pictures = Pictures { worker: self.0.clone(), pool, made, ended: self.1.clone() };
        Ok(AlbumClient::offer(&self.0, pictures)?)
    }
}

struct Eyes;

impl Viewer<Link> for Eyes {
    fn look(&self, album: &AlbumClient<Link>, count: u8) -> Answer<u32> {
        let numbers = album.pictures(count).map(|item| number_in(&borrow(album, item.unwrap())));
        Ok(numbers.sum())
    }
}

fn borrow(album: &AlbumClient<Link>, (_, name): (u8, BufferRef)) -> Borrowed {
    album.link().borrow(name).unwrap()
}

/// The number that a picture is full of.
fn number_in(picture: &Borrowed) -> u32 {
    let mut bytes = vec![0; picture.len()];
    picture.copy_to(&mut bytes).unwrap();
    assert!(bytes.len() == 5000 && bytes.iter().all(|byte| *byte == bytes[0]));
    bytes[0].into()
}

/// A gallery, an album of it, and a viewer. It is heard when a stream of the album's ends.
fn scene(route: Route) -> (World, Worker, AlbumClient<Link>, Receiver<()>) {
    let mut world = World::new(route);
    let (ended, ends) = mpsc::channel();
    world.worker("gallery", move |worker| worker.serve(GalleryServer::new(House(worker.clone(), ended))));
    world.worker("viewer", |worker| worker.serve(ViewerServer::new(Eyes)));
    let worker = world.here("client");
    let album = GalleryClient::bind(&worker, "gallery").unwrap().album().unwrap();
    (world, worker, album, ends)
}

/// It is not pulled while all its buffers are lent, however long that is; calls are served, and other streams pulled.
fn a_stream_waits_for_its_buffers_and_holds_up_nobody(route: Route) {
    let (_world, _worker, album, ends) = scene(route);
    let mut pictures = album.pictures(50);
    let mut held: Vec<_> = pictures.by_ref().take(3).map(|item| borrow(&album, item.unwrap())).collect();
    for _ in 0..50 {
        assert_eq!(album.made(), Ok(3), "no more than there are buffers");
    }
    // Longer than it may wait for an item, which nobody does.
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(album.made(), Ok(3));
    for number in 4..=50u8 {
        held.remove(0);
        held.push(borrow(&album, pictures.next().unwrap().unwrap()));
        assert_eq!(number_in(&held[2]), number.into());
    }
    // Nobody knows that nothing follows before it is asked for that.
    drop(held);
    assert!(pictures.next().is_none());
    ends.recv().unwrap();
}

fn a_stream_that_waits_for_its_buffers_can_be_given_up(route: Route) {
    let (_world, _worker, album, ends) = scene(route);
    let mut pictures = album.pictures(50);
    let held: Vec<_> = pictures.by_ref().take(3).map(|item| borrow(&album, item.unwrap())).collect();
    assert_eq!(album.made(), Ok(3));
    drop(pictures);
    ends.recv().unwrap();
    drop(held);
    assert_eq!(album.pictures(1).map(|item| number_in(&borrow(&album, item.unwrap()))).sum::<u32>(), 1);
}

/// Two links lead to one album: what it lends, it lends over the one by which it was asked.
fn what_is_lent_goes_to_whoever_asks(route: Route) {
    let (_world, worker, album, _ends) = scene(route);
    assert!(worker.link_served().is_none());
    let viewer = ViewerClient::bind(&worker, "viewer").unwrap();
    let own = |count| album.pictures(count).map(|item| number_in(&borrow(&album, item.unwrap()))).sum::<u32>();
    assert_eq!((own(20), viewer.look(&album, 10), own(5), viewer.look(&album, 4)), (210, Ok(55), 15, Ok(10)));
    assert_eq!(album.made(), Ok(39));
}
