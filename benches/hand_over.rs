//! How long it takes to hand a picture over, through links and pools, from a confined worker to another or to the host.
//!
//! `cargo bench --bench hand_over`; without `--bench` every row is only tried.

mod floor;
mod handing;
mod picture;
mod scene;

fn main() {
    cloison_worker::roles(&handing::ROLES);
    floor::serve_if_child(&[]);
    floor::measure("hand-over of a picture, lent and given back", &handing::UNTOUCHED).print();
    floor::measure("the same, every byte written on one side and copied out on the other", &handing::TOUCHED).print();
}
