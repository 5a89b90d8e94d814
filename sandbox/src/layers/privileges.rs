//! Users, capabilities, and what else a process is trusted with.

use std::io;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::process::{
    DumpableBehavior, SpeculationFeature, SpeculationFeatureControl, control_speculative_feature, set_dumpable_behavior,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use super::Dressing;
use crate::report::Layer;

/// Becomes user and group `number`, without further groups.
pub(crate) fn become_user(number: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    stay_dumpable()
}

/// Lets this process write its own user maps, and the host look at it: a change of user takes that away.
pub(crate) fn stay_dumpable() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

/// Empties the bounding set and locks the securebits. Needs `CAP_SETPCAP`, which an ordinary user has only inside a user
/// namespace; without it both are inert, since nothing can be executed with new privileges.
pub(crate) fn lock_down(dressing: &mut Dressing) {
    dressing.put_on(Layer::Securebits, || {
        use CapabilitiesSecureBits as Bits;
        let locked = Bits::NO_ROOT_LOCKED | Bits::NO_SETUID_FIXUP_LOCKED | Bits::KEEP_CAPS_LOCKED;
        let raise = Bits::NO_CAP_AMBIENT_RAISE | Bits::NO_CAP_AMBIENT_RAISE_LOCKED;
        set_capabilities_secure_bits(Bits::NO_ROOT | Bits::NO_SETUID_FIXUP | locked | raise)
            .map_err(|error| format!("needs CAP_SETPCAP: {error}"))
    });
    dressing.put_on(Layer::BoundingSet, || {
        empty_bounding_set().map_err(|error| format!("needs CAP_SETPCAP: {error}; inert without new privileges"))
    });
}

fn empty_bounding_set() -> rustix::io::Result<()> {
    for bit in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Gives all capabilities up.
pub(crate) fn drop_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    clear_ambient_capability_set()?;
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Forces the speculation features off that leak between processes, where this processor lets one choose.
pub(crate) fn stop_speculation(dressing: &mut Dressing) {
    for (layer, feature) in [
        (Layer::StoreBypass, SpeculationFeature::SpeculativeStoreBypass),
        (Layer::IndirectBranch, SpeculationFeature::IndirectBranchSpeculation),
    ] {
        dressing.put_on(layer, || {
            control_speculative_feature(feature, SpeculationFeatureControl::FORCE_DISABLE)
                .map_err(|error| format!("no choice on this processor: {error}"))
        });
    }
}

/// No core dump, and `/proc` closed to the worker's own user.
pub(crate) fn hide() -> rustix::io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
