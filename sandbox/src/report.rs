//! What is in force: tiers, layers, and how each layer's standing is known.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::profile::Demand;

/// How much confinement is in force, or the least that is accepted. Ordered: `Off < NoUserNs < Full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Nothing is confined. Only for debugging, and never chosen unless the host named it.
    Off,
    /// Landlock, seccomp, no privileges and resource limits, but no namespaces of its own.
    NoUserNs,
    /// Everything in [`Tier::NoUserNs`] inside namespaces of its own with an empty, read-only root.
    Full,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::NoUserNs => "no-userns",
            Self::Full => "full",
        })
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One kernel mechanism of confinement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Layer { $($(#[$doc])* $name,)* }

        impl Layer {
            /// Every layer, in the order in which a worker puts them on.
            pub const ALL: &[Layer] = &[$(Layer::$name,)*];

            /// The layer's name as tables and programs see it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

layers! {
    /// The process dies with the host (`PR_SET_PDEATHSIG`).
    ParentDeath = "parent-death",
    /// No environment variable is handed down.
    Environment = "environment",
    /// Descriptors 0 to 4 only; 4 is closed before application code runs.
    Descriptors = "descriptors",
    /// A session and process group of its own.
    Session = "session",
    /// Runs as a user other than root, where the host is root.
    User = "user",
    /// A user namespace of its own.
    UserNamespace = "user-namespace",
    /// A mount namespace of its own.
    MountNamespace = "mount-namespace",
    /// A network namespace of its own, without any interface that is up.
    NetNamespace = "net-namespace",
    /// System V and POSIX message queues of its own.
    IpcNamespace = "ipc-namespace",
    /// A host name of its own.
    UtsNamespace = "uts-namespace",
    /// A view of control groups of its own.
    CgroupNamespace = "cgroup-namespace",
    /// A process namespace of its own, in which it is process 1.
    PidNamespace = "pid-namespace",
    /// `max_user_namespaces` is 0 inside: no further user namespace.
    NoNestedNamespaces = "no-nested-namespaces",
    /// The root is an empty, read-only tmpfs.
    EmptyRoot = "empty-root",
    /// No capability, in any set that could become effective.
    Capabilities = "capabilities",
    /// The bounding set is empty too.
    BoundingSet = "bounding-set",
    /// Securebits are locked: user 0 means nothing special.
    Securebits = "securebits",
    /// Execution can not raise privileges.
    NoNewPrivileges = "no-new-privileges",
    /// Memory, CPU time, descriptors, file size, core size (`setrlimit`).
    ResourceLimits = "resource-limits",
    /// The number of threads is bounded.
    ThreadLimit = "thread-limit",
    /// A control group bounds its memory as a whole, where one was delegated to the host.
    MemoryGroup = "memory-group",
    /// A control group bounds its threads, where one was delegated to the host.
    PidsGroup = "pids-group",
    /// Memory never becomes executable (`PR_SET_MDWE`).
    WriteXorExecute = "write-xor-execute",
    /// Speculative store bypass is forced off.
    StoreBypass = "store-bypass",
    /// Indirect-branch speculation is forced off.
    IndirectBranch = "indirect-branch",
    /// Not dumpable: no core, and no access to its `/proc` entries by its own user.
    NotDumpable = "not-dumpable",
    /// Landlock: no file can be opened, made, removed or executed by name.
    LandlockFiles = "landlock-files",
    /// Landlock: no TCP socket can be bound or connected.
    LandlockNetwork = "landlock-network",
    /// Landlock: no abstract Unix socket and no signal reaches a process outside.
    LandlockScopes = "landlock-scopes",
    /// A system-call filter is in force.
    Seccomp = "seccomp",
    /// The filter holds the rules of the profile.
    SeccompRules = "seccomp-rules",
    /// The host sees forbidden calls itself, by name (seccomp user notification).
    SeccompNotify = "seccomp-notify",
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The layers without which a worker is not in [`Tier::NoUserNs`].
pub(crate) const NO_USERNS_NEEDS: &[Layer] = &[
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

/// The layers that [`Tier::Full`] needs on top.
pub(crate) const FULL_NEEDS: &[Layer] = &[
    Layer::UserNamespace,
    Layer::MountNamespace,
    Layer::NetNamespace,
    Layer::IpcNamespace,
    Layer::UtsNamespace,
    Layer::CgroupNamespace,
    Layer::PidNamespace,
    Layer::EmptyRoot,
];

/// Where a layer stands, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In force; the host saw so itself, from outside.
    Verified {
        /// What was looked at.
        how: String,
    },
    /// In force; set by this crate's code in the worker before the first untrusted byte, and not visible from outside.
    Attested,
    /// Not in force, though it was wanted.
    Unavailable {
        /// The kernel's, or the system's, reason.
        why: String,
    },
    /// Not in force because the host did not ask for it.
    Off,
}

impl Standing {
    /// Whether the layer is in force.
    pub fn in_force(&self) -> bool {
        matches!(self, Self::Verified { .. } | Self::Attested)
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Verified { .. } => "verified",
            Self::Attested => "attested",
            Self::Unavailable { .. } => "unavailable",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified { how } => write!(f, "verified ({how})"),
            Self::Unavailable { why } => write!(f, "unavailable ({why})"),
            Self::Attested | Self::Off => f.write_str(self.word()),
        }
    }
}

/// The layers of one worker, as the host knows them.
///
/// `{}` prints one line for a table, which keeps quiet about control groups where there are none; `{:#}` one line per layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The tier that follows from the layers in force.
    pub tier: Tier,
    /// Whether the worker only learns, so that the rules on its calls are not in force: see
    /// [`Profile::learning`](crate::Profile::learning). The tier is then that of all other layers.
    pub learning: bool,
    /// Each layer once, in [`Layer::ALL`]'s order.
    pub layers: Vec<(Layer, Standing)>,
}

impl Report {
    /// Where `layer` stands; [`Standing::Off`] for one that the report does not list.
    pub fn standing(&self, layer: Layer) -> &Standing {
        const OFF: &Standing = &Standing::Off;
        self.layers.iter().find(|(l, _)| *l == layer).map_or(OFF, |(_, s)| s)
    }

    pub(crate) fn new(layers: Vec<(Layer, Standing)>, learning: bool) -> Self {
        let mut report = Self { tier: Tier::Off, learning, layers };
        let waived = |layer| learning && layer == Layer::SeccompRules;
        let has = |needs: &[Layer]| needs.iter().all(|&l| report.standing(l).in_force() || waived(l));
        let tier = match (has(NO_USERNS_NEEDS), has(FULL_NEEDS)) {
            (true, true) => Tier::Full,
            (true, false) => Tier::NoUserNs,
            (false, _) => Tier::Off,
        };
        report.tier = tier;
        report
    }

    /// The demands that are not met, and why.
    pub(crate) fn unmet(&self, demands: &[(Layer, Demand)]) -> Vec<(Layer, String)> {
        let unmet = |&(layer, demand): &(Layer, Demand)| match (self.standing(layer), demand) {
            (Standing::Verified { .. }, _) | (Standing::Attested, Demand::InForce) => None,
            (Standing::Attested, Demand::Verified) => Some((layer, "attested, but not to be seen from outside".into())),
            (Standing::Unavailable { why }, _) => Some((layer, why.clone())),
            (Standing::Off, _) => Some((layer, "switched off".into())),
        };
        demands.iter().filter_map(unmet).collect()
    }

    /// The layers that keep the report below `tier`, with the reasons.
    pub(crate) fn missing_for(&self, tier: Tier) -> Vec<(Layer, String)> {
        let needs: Vec<Layer> = match tier {
            Tier::Off => Vec::new(),
            Tier::NoUserNs => NO_USERNS_NEEDS.to_vec(),
            Tier::Full => [NO_USERNS_NEEDS, FULL_NEEDS].concat(),
        };
        needs
            .into_iter()
            .filter_map(|layer| match self.standing(layer) {
                Standing::Unavailable { why } => Some((layer, why.clone())),
                Standing::Off => Some((layer, "switched off".to_owned())),
                Standing::Verified { .. } | Standing::Attested => None,
            })
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.learning {
            f.write_str("LEARNING, NO CALL IS REFUSED; otherwise ")?;
        }
        if f.alternate() {
            writeln!(f, "tier {}", self.tier)?;
            return self.layers.iter().try_for_each(|(layer, standing)| writeln!(f, "  {layer:<22} {standing}"));
        }
        if self.tier == Tier::Off {
            return f.write_str("off: NOT CONFINED");
        }
        let count = |word| self.layers.iter().filter(|(_, s)| s.word() == word).count();
        write!(f, "{}: {} verified, {} attested", self.tier, count("verified"), count("attested"))?;
        let told = |layer| !matches!(layer, Layer::MemoryGroup | Layer::PidsGroup);
        let missing = self.layers.iter().filter(|(layer, s)| s.word() == "unavailable" && told(*layer));
        let missing: Vec<_> = missing.map(|(layer, _)| layer.name()).collect();
        if missing.is_empty() { Ok(()) } else { write!(f, ", without {}", missing.join(" ")) }
    }
}
