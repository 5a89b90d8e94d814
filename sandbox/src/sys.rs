//! The system calls that no library offers safely. All of this crate's `unsafe` is here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::libc;

use crate::filter::Instruction;
use crate::note::NOTE_WORDS;

/// The worker's end of its application channel.
pub(crate) const CHANNEL: RawFd = 3;
/// The worker's end of the launch channel.
pub(crate) const LAUNCH: RawFd = 4;
/// The page for the worker's notes, until the stub has mapped it.
pub(crate) const NOTES: RawFd = 5;
/// The first descriptor that a worker does not keep.
const FIRST_UNGIVEN: libc::c_uint = 5;

/// Looks at a descriptor that this process was started with, if it is open.
pub(crate) fn inherited(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_GETFD takes no pointer; it fails with EBADF for a number that is not open.
    let open = unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
    // SAFETY: the number is open, and nothing in this crate closes it before `adopt` has taken it.
    open.then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Takes possession of the descriptors 3 and 4 that the launcher gave, once per process.
pub(crate) fn adopt() -> Option<(OwnedFd, OwnedFd)> {
    static ADOPTED: AtomicBool = AtomicBool::new(false);
    if inherited(CHANNEL).is_none() || inherited(LAUNCH).is_none() || ADOPTED.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: open, put there by the launcher for this purpose, and the flag makes sure that nobody took it before.
    let channel = unsafe { OwnedFd::from_raw_fd(CHANNEL) };
    // SAFETY: as above.
    let launch = unsafe { OwnedFd::from_raw_fd(LAUNCH) };
    Some((channel, launch))
}

/// Maps the words of a sealed page for notes, for as long as this process lives, and in its copies.
pub(crate) fn map_notes(page: BorrowedFd<'_>) -> io::Result<&'static [AtomicU64; NOTE_WORDS]> {
    let (access, length) = (libc::PROT_READ | libc::PROT_WRITE, size_of::<[AtomicU64; NOTE_WORDS]>());
    // SAFETY: a new map where the kernel likes.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, page.as_raw_fd(), 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: mapped and aligned to a page; never unmapped, and the file's seals keep it from shrinking (checked by the
    // caller). Atomics may be shared with whoever else writes there.
    Ok(unsafe { &*at.cast::<[AtomicU64; NOTE_WORDS]>() })
}

/// Closes every descriptor that the worker does not keep.
pub(crate) fn close_ungiven() -> io::Result<()> {
    // SAFETY: at the start of `main` nothing owns a descriptor from 5 on: one is the page for notes, which is mapped by now,
    // and others were leaked by the host.
    check(unsafe { libc::syscall(libc::SYS_close_range, FIRST_UNGIVEN, libc::c_uint::MAX, 0) }).map(drop)
}

/// Which side of [`clone_worker`] this is.
pub(crate) enum Cloned {
    /// The stub, with a pidfd of the worker.
    Stub(OwnedFd),
    /// The worker.
    Worker,
}

/// Makes the worker: a copy of this single-threaded process that is a child of the *stub's parent*, inside the new
/// namespaces in `namespaces`.
pub(crate) fn clone_worker(namespaces: libc::c_int) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let tid = own_tid_address();
    let thread_id = if tid == 0 { 0 } else { libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID };
    let flags = libc::CLONE_PARENT | libc::CLONE_PIDFD | thread_id | namespaces;
    let args = libc::clone_args {
        flags: u64::from(flags.cast_unsigned()),
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        child_tid: tid as u64,
        parent_tid: 0,
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: without CLONE_VM the worker runs on a copy of this memory, on the same stack address. The process is
    // single-threaded (checked by the caller), so no lock is held by a thread that the copy lacks. `pidfd` outlives the
    // call, and `tid` is where the C library keeps this thread's number, or 0.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) })?;
    if pid == 0 {
        return Ok(Cloned::Worker);
    }
    // SAFETY: the kernel stored a new descriptor here, since the call succeeded.
    Ok(Cloned::Stub(unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Where the C library keeps the first thread's number, so that the copy gets its own; 0 if the kernel can not tell.
fn own_tid_address() -> usize {
    let mut address: usize = 0;
    // SAFETY: the kernel writes one pointer-sized integer through the argument.
    let outcome = unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut address, 0, 0, 0) };
    if outcome == 0 { address } else { 0 }
}

/// Ends this process at once, without running anything that belongs to the worker's copy of it.
pub(crate) fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Gives back what the C library's allocator keeps for later: what it took to get here is never needed again.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes an integer only, and memory that is in use stays as it is.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Memory never becomes executable any more.
pub(crate) fn refuse_exec_gain() -> io::Result<()> {
    const PR_SET_MDWE: libc::c_int = 65;
    const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: takes integers only.
    check(libc::c_long::from(unsafe { libc::prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) })).map(drop)
}

/// Installs a seccomp filter for this thread and those it starts; `Some` is the listener, if one was asked for.
pub(crate) fn install_filter(program: &[Instruction], listener: bool) -> io::Result<Option<OwnedFd>> {
    let code: Vec<libc::sock_filter> =
        program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let len = u16::try_from(code.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let fprog = libc::sock_fprog { len, filter: code.as_ptr().cast_mut() };
    let flags = if listener { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // SAFETY: `fprog` points to `len` instructions, which the kernel copies.
    let outcome = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    let fd = check(outcome)?;
    if !listener {
        return Ok(None);
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel returned a new descriptor.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// How a child ended, straight from the kernel.
pub(crate) struct Waited {
    /// One of `CLD_EXITED`, `CLD_KILLED`, `CLD_DUMPED`.
    pub code: libc::c_int,
    /// Exit code or signal number.
    pub status: libc::c_int,
    pub cpu: Duration,
    /// Largest resident set, in bytes.
    pub peak_memory: u64,
}

/// Reaps the child behind `pidfd` with its resource usage; `None` while it lives.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Waited>> {
    // SAFETY: both are plain C structures for which all-zero bytes are a value.
    let (mut info, mut usage): (libc::siginfo_t, libc::rusage) = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd();
    let options = libc::WEXITED | libc::WNOHANG;
    // SAFETY: the kernel fills both structures, which outlive the call.
    let outcome = unsafe { libc::syscall(libc::SYS_waitid, libc::P_PIDFD, id, &raw mut info, options, &raw mut usage) };
    check(outcome)?;
    // SAFETY: waitid fills these fields, or leaves them zero.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let peak_memory = u64::try_from(usage.ru_maxrss).unwrap_or(0) << 10;
    Ok(Some(Waited {
        code: info.si_code,
        status,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_memory,
    }))
}

/// A call that waits for the host's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notification {
    pub id: u64,
    pub number: i32,
    pub arguments: [u64; 6],
    pub instruction: u64,
    /// The calling thread, in this process's numbering.
    pub thread: u32,
}

/// What the host answers to a [`Notification`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The call fails.
    Fail(nix::errno::Errno),
    /// The kernel carries the call out, with whatever its arguments are by now.
    Continue,
}

/// Takes the next call from a seccomp listener. Blocks.
pub(crate) fn receive_notification(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // SAFETY: a plain C structure, which the kernel wants zeroed.
    let mut taken: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure, whose size is part of the request.
    let outcome = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut taken) };
    check(outcome.into())?;
    let data = taken.data;
    let (arguments, instruction) = (data.args, data.instruction_pointer);
    Ok(Notification { id: taken.id, number: data.nr, arguments, instruction, thread: taken.pid })
}

/// Answers a call taken from a seccomp listener.
pub(crate) fn answer_notification(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> io::Result<()> {
    const CONTINUE: u32 = 1;
    let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 0 };
    match answer {
        Answer::Fail(errno) => response.error = -(errno as i32),
        Answer::Continue => response.flags = CONTINUE,
    }
    // SAFETY: the kernel reads the structure, whose size is part of the request.
    let outcome = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
    check(outcome.into()).map(drop)
}

/// How the process behind `pidfd` ended, if somebody else has reaped it: `CLD_*` and code. Linux 6.15 and later tell.
pub(crate) fn ended(pidfd: BorrowedFd<'_>) -> Option<(libc::c_int, libc::c_int)> {
    /// `struct pidfd_info` of Linux 6.15.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        numbers: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    /// `_IOWR(0xFF, 11, struct pidfd_info)`.
    const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B;
    const { assert!(size_of::<Info>() == 64) };
    let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel fills the structure, whose size is part of the request.
    let outcome = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    let status = info.exit_code;
    (outcome == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| match libc::WTERMSIG(status) {
        0 => (libc::CLD_EXITED, libc::WEXITSTATUS(status)),
        signal if libc::WCOREDUMP(status) => (libc::CLD_DUMPED, signal),
        signal => (libc::CLD_KILLED, signal),
    })
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}

fn check(outcome: libc::c_long) -> io::Result<libc::c_long> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}
