//! What is proven about the protocol: the shipped router and the shipped ends of links, driven in a world of queues.
//!
//! It is *not* a model of them, and ships with nothing. A [`World`](world::World) has no processes, sockets or clock: every
//! choice that the real world would make (who runs next, who dies, when the host changes its mind) is a
//! [`Step`](world::Step), and the whole of it can be cloned, hashed, and taken up again at any point.
//!
//! | you want to | use |
//! |---|---|
//! | see every order of events | [`explore::explore`] |
//! | see that the explorer would notice | a [`Fault`](world::Fault) in its [`Setup`](world::Setup) |
//! | compare the two models | [`script`] |
//! | throw bytes at the router and the codec | [`target`] |
#![forbid(unsafe_code)]

pub mod explore;
pub mod random;
pub mod script;
pub mod target;
pub mod world;
