//! Why a system refuses namespaces: the kernel, a sysctl, AppArmor, or a container around the host. The kernel's own answer is
//! an error number that fits several of these.

use std::fs;

use crate::report::{FULL_NEEDS, Layer};

/// What of the system bears on namespaces. `None`: the system has no such setting, or does not show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct System {
    /// `user.max_user_namespaces`.
    most: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, of Debian's and others' kernels.
    allowed: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu's and others' kernels.
    apparmor: Option<u64>,
    /// Whether the kernel knows user namespaces.
    known: bool,
    /// Whether the host lives under a system-call filter, as in a container.
    filtered: bool,
}

/// `said`, which is why `layer` is missing, and what is the likely cause.
pub(crate) fn explain(layer: Layer, said: String) -> String {
    if !FULL_NEEDS.contains(&layer) || said == SIMULATED {
        return said;
    }
    match System::look().cause() {
        Some(cause) => format!("{said}: {cause}"),
        None => said,
    }
}

/// The reason of a layer that a test has left off.
pub(crate) const SIMULATED: &str = "simulated";

impl System {
    fn look() -> Self {
        let setting = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            most: setting("user/max_user_namespaces"),
            allowed: setting("kernel/unprivileged_userns_clone"),
            apparmor: setting("kernel/apparmor_restrict_unprivileged_userns"),
            known: fs::exists("/proc/self/ns/user").unwrap_or(true),
            filtered: status.lines().any(|line| line.starts_with("Seccomp:") && !line.ends_with('0')),
        }
    }

    /// The likeliest cause first.
    fn cause(&self) -> Option<&'static str> {
        if !self.known {
            Some("the kernel was built without user namespaces")
        } else if self.most == Some(0) {
            Some("the sysctl user.max_user_namespaces is 0")
        } else if self.allowed == Some(0) {
            Some("the sysctl kernel.unprivileged_userns_clone is 0")
        } else if self.apparmor == Some(1) {
            Some("AppArmor restricts user namespaces; install the profile in sandbox/apparmor")
        } else if self.filtered {
            Some("the host lives under a system-call filter, as in a container, which may forbid it")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart() {
        let free = System { most: Some(1000), allowed: Some(1), apparmor: Some(0), known: true, filtered: false };
        assert_eq!(free.cause(), None);
        for (system, word) in [
            (System { known: false, ..free.clone() }, "the kernel"),
            (System { most: Some(0), filtered: true, ..free.clone() }, "user.max_user_namespaces"),
            (System { allowed: Some(0), ..free.clone() }, "unprivileged_userns_clone"),
            (System { apparmor: Some(1), ..free.clone() }, "AppArmor"),
            (System { filtered: true, ..free.clone() }, "container"),
        ] {
            assert!(system.cause().unwrap().contains(word), "{system:?}");
        }
    }

    #[test]
    fn only_namespaces_have_such_causes() {
        assert_eq!(explain(Layer::LandlockFiles, "no".to_owned()), "no");
        assert_eq!(explain(Layer::UserNamespace, SIMULATED.to_owned()), SIMULATED);
    }
}
