//! System calls as an attacker makes them: by number, with whatever arguments.

use std::ffi::CStr;
use std::io;

use crate::probe::Outcome;

/// Makes one call. Missing arguments are 0.
///
/// Arguments that are addresses come from [`text`], [`text_of`] or [`space`], which outlive the process's interest in
/// them; all others are meant to be senseless.
pub fn call(number: libc::c_long, arguments: &[u64]) -> Outcome {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: the calls of this program either fail, or write to the buffers made for them below. A call that does harm
    // to this process harms a process that was started to find that out.
    let outcome = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    match u64::try_from(outcome) {
        Ok(value) => Outcome::Succeeded(value),
        Err(_) => Outcome::Failed(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

/// The address of a constant text.
pub fn text(text: &'static CStr) -> u64 {
    text.as_ptr().expose_provenance() as u64
}

/// The address of a text made at run time, which stays for good.
pub fn text_of(text: String) -> u64 {
    let bytes: &'static [u8] = Vec::leak([text.into_bytes(), vec![0]].concat());
    bytes.as_ptr().expose_provenance() as u64
}

/// The address of `bytes` followed by zeros, one page in all, which stays for good and may be written to.
pub fn space(bytes: &[u8]) -> u64 {
    let mut page = vec![0u8; 4096];
    page[..bytes.len()].copy_from_slice(bytes);
    Vec::leak(page).as_mut_ptr().expose_provenance() as u64
}

/// `getpid` through the 32-bit gate, which has numbers of its own.
#[cfg(target_arch = "x86_64")]
pub fn int80_getpid() -> Outcome {
    let outcome: i64;
    // SAFETY: call 20 of that interface takes no argument; the gate changes no register that is not named.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20i64 => outcome, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    Outcome::Succeeded(outcome.unsigned_abs())
}

/// `time` through the fixed page of old.
#[cfg(target_arch = "x86_64")]
pub fn vsyscall_time() -> Outcome {
    const TIME: usize = 0xffff_ffff_ff60_0400;
    let outcome: i64;
    // SAFETY: the kernel provides `time(NULL)` at this address, or ends the process with SIGSEGV, which a probe may.
    unsafe {
        std::arch::asm!("call {page}", page = in(reg) TIME, inlateout("rdi") 0u64 => _, out("rax") outcome,
            out("rcx") _, out("r11") _, out("rsi") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _)
    };
    match u64::try_from(outcome) {
        Ok(value) => Outcome::Succeeded(value),
        Err(_) => Outcome::Failed(i32::try_from(outcome.unsigned_abs()).unwrap_or(0)),
    }
}
