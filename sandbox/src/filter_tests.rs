//! What the compiled programs do, by running them in a small interpreter of the kernel's own instructions.

use super::*;

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64`.
const ARCH: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
/// `AUDIT_ARCH_I386`.
const OTHER_ARCH: u32 = 0x4000_0003;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// Runs `program` on one call, as the kernel does.
fn answer(program: &Program, arch: u32, number: i32, arguments: &[u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(arch.to_le_bytes());
    data.extend(0u64.to_le_bytes());
    arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
    let load = |offset: u32| {
        let offset = offset as usize;
        u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap())
    };
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let branch = |taken: bool| usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = load(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn number(call: &str) -> Option<i32> {
    Some(call.parse::<Sysno>().ok()?.id())
}

/// Arguments that meet all of a rule's conditions.
fn satisfying(rule: &Rule) -> [u64; 6] {
    let mut arguments = [0; 6];
    for test in &rule.tests {
        match *test {
            Test::Is(index, value) | Test::Within(index, value) | Test::Has(index, value) => {
                arguments[usize::from(index)] |= value;
            }
            Test::IsNot(..) | Test::Without(..) => {}
        }
    }
    if !rule.tests.iter().all(|test| test.holds(&arguments)) {
        arguments = [1; 6];
    }
    assert!(rule.tests.iter().all(|test| test.holds(&arguments)), "{rule}");
    arguments
}

fn rules_on(call: &str) -> impl Iterator<Item = Rule> {
    crate::rules::decoder().into_iter().filter(move |rule| rule.call == call)
}

#[test]
fn every_rule_does_what_it_says() {
    let filters = compile(&crate::rules::decoder(), false, false).unwrap();
    for rule in crate::rules::decoder() {
        let Some(number) = number(rule.call) else { continue };
        let wanted = match rule.effect {
            Effect::Allow => ALLOW,
            Effect::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
        };
        for program in [&filters.notify, &filters.fallback] {
            assert_eq!(answer(program, ARCH, number, &satisfying(&rule)), wanted, "{rule}");
        }
    }
}

#[test]
fn a_perturbed_argument_is_not_allowed() {
    let filters = compile(&crate::rules::decoder(), false, false).unwrap();
    let mut perturbed = 0;
    for rule in crate::rules::decoder().iter().filter(|rule| rule.effect == Effect::Allow) {
        let Some(number) = number(rule.call) else { continue };
        for test in &rule.tests {
            let (Test::Is(index, _) | Test::IsNot(index, _) | Test::Within(index, _)) = *test else { continue };
            for bit in 0..u64::BITS {
                let mut arguments = satisfying(rule);
                arguments[usize::from(index)] ^= 1 << bit;
                let allowed =
                    |rule: &Rule| rule.effect == Effect::Allow && rule.tests.iter().all(|test| test.holds(&arguments));
                if rules_on(rule.call).any(|rule| allowed(&rule)) {
                    continue;
                }
                perturbed += 1;
                for program in [&filters.notify, &filters.fallback] {
                    assert_ne!(answer(program, ARCH, number, &arguments), ALLOW, "{rule}, bit {bit} of {index}");
                }
            }
        }
    }
    assert!(perturbed > 500, "only {perturbed} arguments were perturbed");
}

#[test]
fn what_no_rule_names_goes_to_the_host() {
    let filters = compile(&crate::rules::decoder(), false, false).unwrap();
    let rules = crate::rules::decoder();
    for number in -1..1000 {
        let named = usize::try_from(number).ok().and_then(Sysno::new).map(|call| call.name());
        if rules.iter().any(|rule| Some(rule.call) == named) {
            continue;
        }
        assert_eq!(answer(&filters.notify, ARCH, number, &[0; 6]), NOTIFY, "{named:?}");
        let deadly = named.is_some_and(|name| verdict::DEADLY.contains(&name));
        let wanted = if deadly { KILL } else { libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs() };
        assert_eq!(answer(&filters.fallback, ARCH, number, &[0; 6]), wanted, "{named:?}");
    }
    let x32_read = 0x4000_0000;
    assert_eq!(answer(&filters.notify, ARCH, x32_read, &[0; 6]), NOTIFY);
}

#[test]
fn another_architecture_is_deadly() {
    let filters = compile(&crate::rules::decoder(), false, false).unwrap();
    for program in [&filters.notify, &filters.fallback] {
        for number in -1..1000 {
            assert_eq!(answer(program, OTHER_ARCH, number, &[0; 6]), KILL);
        }
    }
}

#[test]
fn linked_programs_fit_the_kernel() {
    let filters = compile(&crate::rules::decoder(), false, false).unwrap();
    for program in [filters.notify, filters.fallback] {
        assert!(program.len() <= libc::BPF_MAXINSNS as usize / 2, "{}", program.len());
    }
}

#[test]
fn the_host_is_asked_for_threads_only_if_it_counts_them() {
    let rules = crate::rules::decoder();
    let thread = rules_on("clone").find(|rule| rule.effect == Effect::Allow).unwrap();
    let (number, arguments) = (number("clone").unwrap(), satisfying(&thread));
    for (counting, wanted) in [(false, ALLOW), (true, NOTIFY)] {
        let filters = compile(&rules, counting, false).unwrap();
        assert_eq!(answer(&filters.notify, ARCH, number, &arguments), wanted);
        assert_eq!(answer(&filters.fallback, ARCH, number, &arguments), ALLOW);
    }
}

#[test]
fn a_refusal_without_conditions_is_for_the_rest() {
    let mut rules = crate::rules::decoder();
    rules.push(Rule::allow("ioctl", "a test").when(Test::Is(1, 0x6400)));
    let filters = compile(&rules, false, false).unwrap();
    let ioctl = number("ioctl").unwrap();
    for program in [&filters.notify, &filters.fallback] {
        assert_eq!(answer(program, ARCH, ioctl, &[0, 0x6400, 0, 0, 0, 0]), ALLOW);
        let refused = libc::SECCOMP_RET_ERRNO | libc::ENOTTY.unsigned_abs();
        assert_eq!(answer(program, ARCH, ioctl, &[0, 0x6401, 0, 0, 0, 0]), refused);
    }
}

#[test]
fn while_it_learns_the_host_hears_of_refusals_too() {
    let filters = compile(&crate::rules::decoder(), false, true).unwrap();
    for (call, arguments) in [("openat", [0; 6]), ("mmap", [0, 1, 4, 0x22, 0, 0]), ("clone", [17, 0, 0, 0, 0, 0])] {
        assert_eq!(answer(&filters.notify, ARCH, number(call).unwrap(), &arguments), NOTIFY, "{call}");
    }
    assert_eq!(answer(&filters.notify, ARCH, number("read").unwrap(), &[0; 6]), ALLOW);
}
