//! How fast messages travel, beside what the machine itself can do.
//!
//! `cargo bench --bench ipc`; without `--bench` every row is only tried.

mod floor;
mod picture;
mod travel;

fn main() {
    floor::serve_if_child(&travel::FAR_ENDS);
    let rows = [floor::RAW_PAIR, floor::RAW_RELAY, travel::PACKET_PAIR];
    floor::measure("64-byte round trip", &rows).print();
    floor::measure("hand-over of a picture, there and back", &travel::PICTURES).print();
}
