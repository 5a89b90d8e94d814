//! A crew, its foreman, and the host's links to both.

use cloison_broker::msg::Rights;
use cloison_broker::{Ask, Grant, HostLink, Model, WorkerSpec};
use cloison_sandbox::Profile;

use super::crew::{CREW, Crew, CrewClient, THREADS};
use super::foreman::{FOREMAN, ForemanClient};
use crate::host::{AMPLE, Host};
use crate::watch::eventually;

pub fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let rights = match ask.interface.as_str() {
        "crew" => CREW.rights(),
        "foreman" => FOREMAN.rights(),
        _ => return None,
    };
    Some(Grant { rights, back: Rights::default() })
}

pub struct Scene {
    pub host: Host,
    pub crew: CrewClient<HostLink>,
    pub foreman: ForemanClient<HostLink>,
}

pub fn scene(model: Model) -> Scene {
    let host = Host::new(model, policy);
    // Just enough.
    let profile = Profile::decoder().threads(THREADS + 1);
    host.broker.spawn(WorkerSpec::own("crew").unwrap().profile(profile)).unwrap();
    host.spawn("foreman");
    let crew = CrewClient::bind(&*host.broker, "crew").unwrap().within(AMPLE);
    let foreman = ForemanClient::bind(&*host.broker, "foreman").unwrap().within(AMPLE);
    Scene { host, crew, foreman }
}

impl Scene {
    pub fn until_lingering(&self, linger: u32, lingered: u32) {
        eventually("they linger", || (self.crew.lingering() == Ok((linger, lingered))).then_some(()));
    }
}
