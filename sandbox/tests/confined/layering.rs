//! Each layer can be missing, or be claimed without being there; neither goes unnoticed.

use std::io::Read;

use cloison_sandbox::{Launch, LaunchError, Layer, Profile, Simulated, Standing, Tier};

use crate::host::{end, launcher, plan, start, tiers};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("a_missing_layer_is_reported_or_refused", a_missing_layer_is_reported_or_refused),
        ("a_false_claim_is_caught", a_false_claim_is_caught),
        ("without_namespaces_a_launch_falls_to_the_tier_below", without_namespaces_a_launch_falls_to_the_tier_below),
        ("without_a_listener_the_filter_serves_alone", without_a_listener_the_filter_serves_alone),
        ("a_probe_says_what_the_system_gives", a_probe_says_what_the_system_gives),
        ("a_host_can_demand_a_layer", a_host_can_demand_a_layer),
        ("more_than_is_tried_can_not_be_demanded", more_than_is_tried_can_not_be_demanded),
    ]
}

/// Without one of these a worker is not confined in any tier.
const ALWAYS: &[Layer] = &[
    Layer::Environment,
    Layer::Descriptors,
    Layer::Capabilities,
    Layer::NoNewPrivileges,
    Layer::ResourceLimits,
    Layer::NotDumpable,
    Layer::LandlockFiles,
    Layer::Seccomp,
    Layer::SeccompRules,
];
/// Without one of these a worker is not in the full tier.
const FULL: &[Layer] = &[
    Layer::UserNamespace,
    Layer::MountNamespace,
    Layer::NetNamespace,
    Layer::IpcNamespace,
    Layer::UtsNamespace,
    Layer::CgroupNamespace,
    Layer::PidNamespace,
    Layer::EmptyRoot,
];
/// True of every child that a launcher starts, also without a step of the worker's own.
const INNATE: &[Layer] = &[Layer::Environment, Layer::Descriptors, Layer::NoNewPrivileges, Layer::Capabilities];

fn simulating(layer: Layer, how: Simulated, tier: Tier) -> Launch {
    Launch { profile: Profile::decoder().simulate(layer, how), ..plan("idle", tier) }
}

fn a_missing_layer_is_reported_or_refused() {
    for &tier in tiers() {
        for &layer in Layer::ALL {
            let needed = ALWAYS.contains(&layer) || (tier == Tier::Full && FULL.contains(&layer));
            match start(simulating(layer, Simulated::Missing, tier)) {
                Ok((child, _)) => {
                    assert!(!needed, "{tier} {layer}");
                    assert!(!child.report().standing(layer).in_force(), "{tier} {layer}");
                }
                Err(LaunchError::TooWeak { missing, .. }) => {
                    assert!(needed, "{tier} {layer}");
                    assert!(missing.iter().any(|(l, why)| *l == layer && why == "simulated"), "{missing:?}");
                }
                Err(other) => panic!("{tier} {layer}: {other}"),
            }
        }
    }
}

fn a_false_claim_is_caught() {
    for &tier in tiers() {
        let (honest, _channel) = start(plan("idle", tier)).unwrap();
        let visible = |layer: &Layer| matches!(honest.report().standing(*layer), Standing::Verified { .. });
        for &layer in Layer::ALL.iter().filter(|layer| visible(layer)) {
            match start(simulating(layer, Simulated::Lied, tier)) {
                Ok(_) => assert!(INNATE.contains(&layer) || born_without(layer), "{tier} {layer} was believed"),
                Err(LaunchError::FalseClaim { layer: caught, .. }) => assert_eq!(caught, layer),
                Err(other) => panic!("{tier} {layer}: {other}"),
            }
        }
    }
}

/// A host inside a user namespace of its own may have handed an empty bounding set down.
fn born_without(layer: Layer) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    layer == Layer::BoundingSet && status.contains("CapBnd:\t0000000000000000")
}

fn without_namespaces_a_launch_falls_to_the_tier_below() {
    for &layer in FULL {
        let launch = Launch { least: Tier::NoUserNs, ..simulating(layer, Simulated::Missing, Tier::Full) };
        let (child, _channel) = start(launch).unwrap();
        assert_eq!(child.report().tier, Tier::NoUserNs, "{layer}");
        let standing = child.report().standing(layer);
        assert!(matches!(standing, Standing::Unavailable { .. }), "{layer}: {standing}");
        assert!(child.report().to_string().contains(layer.name()), "{}", child.report());
    }
}

/// A host that lives under a listener of its own can have no second one.
fn without_a_listener_the_filter_serves_alone() {
    for &tier in tiers() {
        let start = |role| {
            let profile = Profile::decoder().simulate(Layer::SeccompNotify, Simulated::Missing);
            start(Launch { profile, ..plan(role, tier) }).unwrap()
        };
        let (child, mut channel) = start("getppid");
        let mut failed = [0; 4];
        channel.read_exact(&mut failed).unwrap();
        assert_eq!(u32::from_le_bytes(failed), 300);
        assert!(child.violations().calls().is_empty());
        assert!(matches!(child.report().standing(Layer::SeccompNotify), Standing::Unavailable { .. }));
        let (killed, _channel) = start("unshare");
        assert!(end(killed).exit.to_string().starts_with("killed by SIGSYS"));
        let (_child, mut channel) = start("threads");
        channel.read_exact(&mut failed).unwrap();
        assert_eq!(u32::from_le_bytes(failed), 10);
    }
}

fn a_probe_says_what_the_system_gives() {
    let probed = launcher().probe().unwrap();
    assert_eq!(probed.tier, tiers()[0]);
    assert_eq!(launcher().probe().unwrap(), probed);
}

fn a_host_can_demand_a_layer() {
    let tier = tiers()[0];
    let demanding = |profile| start(Launch { profile, ..plan("idle", tier) });
    assert!(demanding(Profile::decoder().demand_verified(Layer::Seccomp)).is_ok());
    assert!(demanding(Profile::decoder().demand(Layer::LandlockFiles)).is_ok());
    let refused = demanding(Profile::decoder().demand_verified(Layer::LandlockFiles)).unwrap_err();
    assert!(matches!(&refused, LaunchError::Unmet { missing } if missing[0].0 == Layer::LandlockFiles), "{refused}");
    let missing = Profile::decoder().simulate(Layer::WriteXorExecute, Simulated::Missing);
    assert!(demanding(missing.demand(Layer::WriteXorExecute)).is_err());
}

fn more_than_is_tried_can_not_be_demanded() {
    let launch = Launch { least: Tier::Full, most: Tier::NoUserNs, ..plan("idle", Tier::Full) };
    assert!(matches!(start(launch), Err(LaunchError::Contradiction { .. })));
}
