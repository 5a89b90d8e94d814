//! The system calls of the strict profile: each rule with its argument conditions and the reason why it is there.
//!
//! What no rule names is *reported*: it fails, and the host hears of it (see [`verdict`](crate::verdict)).

use nix::errno::Errno;
use nix::libc;

use crate::rule::{Effect, Rule, Test};

/// `mmap` and `mprotect` may give these protections.
const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
const EXECUTE: u64 = libc::PROT_EXEC as u64;
/// What maps may be: no huge pages (they are a system's common stock), no locking, no growing down.
const MAP_KINDS: u64 = (libc::MAP_SHARED
    | libc::MAP_PRIVATE
    | libc::MAP_ANONYMOUS
    | libc::MAP_FIXED
    | libc::MAP_FIXED_NOREPLACE
    | libc::MAP_NORESERVE
    | libc::MAP_POPULATE
    | libc::MAP_STACK) as u64;
/// Exactly what `pthread_create` asks of `clone`.
pub(crate) const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;
/// Any of these in `clone` is an attempt to make a namespace.
pub(crate) const NEW_NAMESPACE: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;
/// Flags of `openat` that neither write nor make anything.
const READING: u64 =
    (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY | libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        as u64;
/// `PR_SET_VMA`: names an anonymous map.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// Calls that are allowed whatever their arguments, with who needs them.
const UNCONDITIONAL: &[(&str, &str)] = &[
    ("read", "reading a descriptor one was given"),
    ("write", "standard error; event descriptors"),
    ("writev", "the C library's own last words (heap corruption, assert)"),
    ("close", "every descriptor that is done with"),
    ("munmap", "allocator; buffers"),
    ("mremap", "allocator: realloc of large blocks"),
    ("brk", "allocator"),
    ("futex", "locks, condition variables, joining threads"),
    ("rt_sigaction", "start of a thread (stack-overflow handler)"),
    ("rt_sigprocmask", "start of a thread"),
    ("rt_sigreturn", "return from a signal handler"),
    ("sigaltstack", "start and end of a Rust thread"),
    ("sched_yield", "spinning locks"),
    ("gettid", "thread identity"),
    ("getpid", "thread identity; abort"),
    ("exit", "end of a thread"),
    ("exit_group", "end of the process"),
    ("recvmsg", "links"),
    ("sendmsg", "links"),
    ("recvfrom", "links through the standard library"),
    ("sendto", "links through the standard library"),
    ("shutdown", "closing a link in one direction"),
    ("ppoll", "waiting for links"),
    ("epoll_create1", "waiting for many links"),
    ("epoll_ctl", "waiting for many links"),
    ("epoll_wait", "waiting for many links"),
    ("epoll_pwait", "waiting for many links"),
    ("eventfd2", "waking a thread that waits for links"),
    ("getrandom", "hash tables' keys"),
    ("set_robust_list", "start of a thread"),
    ("rseq", "start of a thread"),
    ("restart_syscall", "the kernel's own continuation after a stop"),
    ("fstat", "checking a buffer that arrived"),
    ("pread64", "reading a file one was given"),
];

/// Calls that fail politely: libraries try them and cope with this very answer.
const POLITE: &[(&str, Errno, &str)] = &[
    ("clone3", Errno::ENOSYS, "its flags lie in memory, out of a filter's sight; the C library falls back to clone"),
    ("statx", Errno::ENOSYS, "the standard library falls back"),
    ("get_mempolicy", Errno::ENOSYS, "x264 and friends probe for NUMA"),
    ("set_mempolicy", Errno::ENOSYS, "x264 and friends probe for NUMA"),
    ("openat", Errno::ENOENT, "heap trimming opens /proc/sys/vm/overcommit_memory"),
    ("newfstatat", Errno::ENOENT, "the C library's fstat and stat"),
    ("readlink", Errno::ENOENT, "looking for one's own executable"),
    ("ioctl", Errno::ENOTTY, "is standard error a terminal?"),
    ("sysinfo", Errno::EPERM, "how much memory does the machine have?"),
    ("uname", Errno::EPERM, "which kernel is this?"),
    ("fork", Errno::EPERM, "a second process"),
    ("vfork", Errno::EPERM, "a second process"),
];

/// The rules of the strict profile, most used first.
pub(crate) fn decoder() -> Vec<Rule> {
    let allow = |call, tests: &[Test], why| Rule { call, tests: tests.to_vec(), effect: Effect::Allow, why };
    let refuse = |call, tests: &[Test], errno: Errno, why| {
        let effect = Effect::Refuse(errno as i32);
        Rule { call, tests: tests.to_vec(), effect, why }
    };
    let mut rules: Vec<Rule> = UNCONDITIONAL.iter().map(|&(call, why)| allow(call, &[], why)).collect();
    rules.extend([
        allow("mmap", &[Test::Within(2, READ_WRITE), Test::Within(3, MAP_KINDS)], "allocator; buffers; stacks"),
        allow("mprotect", &[Test::Within(2, READ_WRITE)], "allocator; guard pages"),
    ]);
    for clock in 0..4 {
        rules.push(allow("clock_gettime", &[Test::Is(0, clock)], "clocks without a vDSO"));
        rules.push(allow("clock_nanosleep", &[Test::Is(0, clock)], "sleeping"));
    }
    for (advice, why) in [
        (libc::MADV_DONTNEED, "allocator: giving memory back"),
        (libc::MADV_FREE, "allocator: giving memory back"),
        (libc::MADV_HUGEPAGE, "allocator: large blocks"),
        (libc::MADV_NOHUGEPAGE, "stacks"),
        (libc::MADV_DONTDUMP, "secrets and large buffers"),
    ] {
        rules.push(allow("madvise", &[Test::Is(2, bits(advice))], why));
    }
    rules.extend(descriptors());
    rules.extend([
        allow("prctl", &[Test::Is(0, bits(libc::PR_SET_NAME))], "naming a thread"),
        allow("prctl", &[Test::Is(0, PR_SET_VMA)], "allocator: naming a map"),
        allow("clone", &[Test::Is(0, THREAD)], "starting a thread"),
        allow("sched_getaffinity", &[Test::Is(0, 0)], "how many processors may one use?"),
        refuse("sched_getaffinity", &[Test::IsNot(0, 0)], Errno::ENOSYS, "pthread_getattr_np copes"),
        refuse(
            "clone",
            &[Test::Without(0, NEW_NAMESPACE), Test::IsNot(0, THREAD)],
            Errno::EPERM,
            "a second process; never a decoder's business",
        ),
        refuse("mmap", &[Test::Has(2, EXECUTE)], Errno::EACCES, "code made at run time; callers fall back"),
        refuse("mprotect", &[Test::Has(2, EXECUTE)], Errno::EACCES, "code made at run time; callers fall back"),
    ]);
    rules.extend(POLITE.iter().map(|&(call, errno, why)| refuse(call, &[], errno, why)));
    rules
}

/// The rules of a worker that may read directories: those that it has, with files opened for reading only.
pub(crate) fn reading(rules: Vec<Rule>) -> Vec<Rule> {
    let widened = ["openat", "newfstatat"];
    let mut rules: Vec<Rule> = rules.into_iter().filter(|rule| !widened.contains(&rule.call)).collect();
    let reading_only = vec![Test::Within(2, READING)];
    for (call, tests, why) in [
        ("openat", reading_only, "reading in a readable directory"),
        ("newfstatat", Vec::new(), "reading in a readable directory"),
        ("getdents64", Vec::new(), "listing a readable directory"),
        ("lseek", Vec::new(), "reading in a readable directory"),
    ] {
        rules.push(Rule { call, tests, effect: Effect::Allow, why });
    }
    rules
}

/// Requests to a device have the device's letter in these bits.
const REQUEST_TYPE: u64 = 0xff00;

/// The rules of a worker that decodes with the graphics processor behind a render node it was given: those of the strict
/// profile, and requests to that device and to the buffers it shares.
pub(crate) fn hardware() -> Vec<Rule> {
    let request = |letter: u8, why| {
        let letter = u64::from(letter) << 8;
        let exactly =
            [Test::Has(1, letter), Test::Without(1, REQUEST_TYPE & !letter), Test::Within(1, u32::MAX.into())];
        exactly.into_iter().fold(Rule::allow("ioctl", why), Rule::when)
    };
    let mut rules = decoder();
    rules.extend([
        request(b'd', "video driver: work for the graphics processor (DRM)"),
        request(b'b', "video driver: begin and end of access to a shared picture (DMA-BUF)"),
        request(b'>', "video driver: waiting for the graphics processor (sync_file)"),
    ]);
    rules
}

/// What it takes to check a descriptor that arrived, and to use it.
fn descriptors() -> Vec<Rule> {
    let allow = |call, tests: &[Test], why| Rule { call, tests: tests.to_vec(), effect: Effect::Allow, why };
    let fcntl = |command, why| allow("fcntl", &[Test::Is(1, bits(command))], why);
    let only_writer = bits(libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL);
    let socket = bits(libc::SOL_SOCKET);
    vec![
        fcntl(libc::F_GETFD, "debug builds check a descriptor before they close it"),
        fcntl(libc::F_GETFL, "checking a descriptor that arrived"),
        fcntl(libc::F_GET_SEALS, "checking a buffer that arrived"),
        fcntl(libc::F_DUPFD_CLOEXEC, "try_clone"),
        allow(
            "fcntl",
            &[Test::Is(1, bits(libc::F_ADD_SEALS)), Test::Is(2, only_writer)],
            "becoming a pool's only writer",
        ),
        allow(
            "getsockopt",
            &[Test::Is(1, socket), Test::Is(2, bits(libc::SO_DOMAIN))],
            "checking a socket that arrived",
        ),
        allow("getsockopt", &[Test::Is(1, socket), Test::Is(2, bits(libc::SO_TYPE))], "checking a socket that arrived"),
    ]
}

/// A non-negative C constant as the kernel sees it in a register.
fn bits(constant: libc::c_int) -> u64 {
    u64::try_from(constant).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_named_call_exists() {
        for rule in decoder() {
            assert!(rule.call.parse::<syscalls::Sysno>().is_ok(), "{}", rule.call);
        }
    }

    #[test]
    fn every_rule_says_why_and_can_match() {
        for rule in [decoder(), reading(decoder()), hardware()].concat() {
            assert!(!rule.why.is_empty() && !rule.is_contradictory(), "{rule}");
        }
    }

    #[test]
    fn hardware_means_three_kinds_of_requests() {
        let allowed = |request: u64| {
            let on = |rule: &Rule| rule.call == "ioctl" && rule.effect == Effect::Allow;
            hardware().iter().any(|rule| on(rule) && rule.matches(&[3, request, 0, 0, 0, 0]))
        };
        let version = 0xc040_6400;
        assert!(allowed(version));
        for other in [0x5412, 0x5401, version | 1 << 40, 0xc040_6500, 0x4030_4540] {
            assert!(!allowed(other), "{other:#x}");
        }
    }
}
