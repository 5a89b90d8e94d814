//! Landlock: no file by name, no TCP, no signal and no abstract socket out of the worker's own domain.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope, path_beneath_rules,
};

use super::Dressing;
use crate::cause::SIMULATED;
use crate::report::Layer;

/// The newest interface whose rights are handled; a kernel that knows fewer enforces those it knows.
const NEWEST: ABI = ABI::V9;
/// The first interface (Linux 6.7) with TCP.
const NETWORK: ABI = ABI::V4;
/// The first interface (Linux 6.12) with scopes.
const SCOPES: ABI = ABI::V6;

/// Restricts this thread and all that it starts: everything that is handled is refused, but for reading in `readable`.
pub(crate) fn restrict(dressing: &mut Dressing, readable: &[PathBuf]) {
    let wanted = |layer| dressing.simulation(layer).is_none();
    let (files, network, scopes) =
        (wanted(Layer::LandlockFiles), wanted(Layer::LandlockNetwork), wanted(Layer::LandlockScopes));
    let outcome = enforce(files, network, scopes, readable);
    let since = |first: ABI| match &outcome {
        Ok(abi) if *abi >= first => Ok(()),
        Ok(abi) => Err(format!("needs Landlock ABI {}, the kernel has {}", first as i32, *abi as i32)),
        Err(why) => Err(why.clone()),
    };
    dressing.put_on(Layer::LandlockFiles, || since(ABI::V1));
    dressing.put_on(Layer::LandlockNetwork, || since(NETWORK));
    dressing.put_on(Layer::LandlockScopes, || since(SCOPES));
}

/// Returns the interface that was used.
fn enforce(files: bool, network: bool, scopes: bool, readable: &[PathBuf]) -> Result<ABI, String> {
    if !(files || network || scopes) {
        return Err(SIMULATED.to_owned());
    }
    let refused = |error: landlock::RulesetError| error.to_string();
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    if files {
        ruleset = ruleset.handle_access(AccessFs::from_all(NEWEST)).map_err(refused)?;
    }
    if network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST)).map_err(refused)?;
    }
    if scopes {
        ruleset = ruleset.scope(BitFlags::<Scope>::all()).map_err(refused)?;
    }
    let mut created = ruleset.create().map_err(refused)?;
    if files {
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        created = created.add_rules(path_beneath_rules(readable, reading)).map_err(refused)?;
    }
    let enforced = created.restrict_self().map_err(refused)?;
    match enforced.landlock {
        LandlockStatus::Available { effective_abi, .. } => Ok(effective_abi),
        missing => Err(format!("the kernel has no Landlock ({missing:?})")),
    }
}
