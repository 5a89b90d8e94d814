//! A source, a reader, and the host's links to both.

use cloison_broker::msg::{Rights, RpcSet};
use cloison_broker::{Ask, Grant, HostLink, Model};

use super::reader::ReaderClient;
use super::source::SourceClient;
use crate::host::Host;

pub fn source(host: &Host) -> SourceClient<HostLink> {
    SourceClient::bind(&*host.broker, "source").unwrap()
}

pub fn reader(host: &Host) -> ReaderClient<HostLink> {
    ReaderClient::bind(&*host.broker, "stream-reader").unwrap()
}

/// Whoever may call and tell may stream.
pub fn all(_: &Ask<'_>) -> Option<Grant> {
    Some(Grant { rights: Rights::methods(RpcSet::ALL), back: Rights::default() })
}

pub fn both_roles(model: Model) -> Host {
    let host = Host::new(model, all);
    host.spawn("source");
    host.spawn("stream-reader");
    host
}
