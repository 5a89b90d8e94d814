//! What is said about a contract: rights, names, signatures.

use cloison_msg::contract::{Serve, Server};
use cloison_msg::{Answer, DescriptorClasses, Interface, Rights, RightsFlags, RpcSet, interface};
use serde::{Deserialize, Serialize};

use super::kinds::{All, KINDS, Kinds, KindsMethods, KindsServer};
use crate::loopback::Loopback;

#[test]
fn policies_are_derived() {
    let rights = KINDS.rights();
    let classes = DescriptorClasses::PIPE | DescriptorClasses::READ_ONLY_FILE;
    let flags = RightsFlags::CALL | RightsFlags::ONEWAY;
    assert_eq!(rights, Rights { flags, ..Rights::methods(RpcSet::first(9)).passing(classes) });
    assert_eq!(KINDS.answer_rights(), Rights { classes, ..Rights::default() });
    let few = KINDS.rights_to(KINDS.only(&["flush"]));
    assert_eq!((few.flags, few.classes), (RightsFlags::ONEWAY, DescriptorClasses::empty()));

    #[derive(Serialize, Deserialize)]
    struct BufferRef;
    #[interface]
    trait Screen {
        fn show(&self, picture: BufferRef) -> Answer<()>;
    }
    assert!(SCREEN.rights().flags.contains(RightsFlags::LEND));
    assert!(!SCREEN.rights().flags.contains(RightsFlags::ONEWAY));
    fn takes_an_interface(_: &Interface) {}
    takes_an_interface(&SCREEN);
}

#[test]
fn the_names_are_what_they_look_like() {
    #[interface]
    trait HTTPServer2 {
        fn get(&self) -> Answer<()>;
    }
    assert_eq!(HTTPSERVER2.name().as_str(), "httpserver2");
    #[interface]
    trait VideoDecoder {
        fn get(&self) -> Answer<()>;
    }
    assert_eq!(VIDEO_DECODER.name().as_str(), "video-decoder");
    assert_eq!(VideoDecoderClient::<Loopback>::CONTRACT.version(), 0);
    assert_eq!(KINDS.methods()[7].name, "match");
    assert_eq!(
        KINDS.methods()[1].signature,
        "fn packet<'a>(&self, packet: Packet<'a>, hint: Option<&'a str>) -> Answer<u64, DecodeError>"
    );
}

#[test]
fn what_a_server_keeps_can_be_reached() {
    let server: Server<KindsMethods<All>> = KindsServer::new(All::default());
    server.implementation().flush(1).unwrap();
    assert_eq!(server.implementation().flushed.get(), 1);
    assert_eq!(server.contract().name(), KINDS.name());
    assert_eq!(<KindsMethods<All> as Serve>::CONTRACT.version(), 3);
}
