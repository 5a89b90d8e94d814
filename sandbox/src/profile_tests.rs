//! What profiles say, and which of them are errors.

use super::*;
use crate::rule::Test;

#[test]
fn the_strict_profile_is_sound() {
    assert_eq!(Profile::decoder().validate(), Ok(()));
}

#[test]
fn every_rule_is_explained() {
    let explained = Profile::decoder().explain();
    assert_eq!(explained.lines().count(), Profile::decoder().rules().len() + 2);
    assert!(explained.contains("allow   mmap               arg2 within 0x3, arg3 within"), "{explained}");
    assert!(explained.contains("ENOSYS  clone3"), "{explained}");
}

#[test]
fn each_widening_says_what_it_opens() {
    assert_eq!(Profile::decoder().threads(2).widenings(), [] as [String; 0]);
    let wider = Profile::decoder().threads(64).readable("/usr/share/fonts").rule(Rule::allow("getppid", "a test"));
    let [threads, fonts, rule] = &wider.widenings()[..] else { panic!("{:?}", wider.widenings()) };
    assert_eq!(threads, "64 threads instead of 16");
    assert!(fonts.contains("below /usr/share/fonts, by openat (reading only)"), "{fonts}");
    assert!(rule.contains("getppid") && rule.contains("a test"), "{rule}");
    assert!(wider.explain().contains("widened by 64 threads"));
    assert!(wider.learning().explain().contains("widened by learning: every call"));
    assert!(Profile::hardware().explain().contains("widened by hardware: the kernel's graphics drivers"));
    assert_eq!(Profile::hardware().validate(), Ok(()));
}

#[test]
fn rules_come_and_go() {
    let allows = |profile: &Profile, call| profile.rules().iter().any(|r| r.call == call && r.effect == Effect::Allow);
    let profile = Profile::decoder().rule(Rule::allow("getppid", "a test")).less("getrandom");
    assert_eq!(profile.validate(), Ok(()));
    assert!(allows(&profile, "getppid") && !allows(&profile, "getrandom"));
    assert!(!allows(&Profile::decoder(), "getppid"));
}

#[test]
fn empty_and_contradictory_profiles_are_errors() {
    assert_eq!(Profile::of([]).validate(), Err(ProfileError::Empty));
    assert_eq!(Profile::of([Rule::refuse("read", 1, "a test")]).validate(), Err(ProfileError::Empty));
    assert_eq!(Profile::decoder().less("getppid").validate(), Err(ProfileError::NothingLess("getppid")));
    for (rule, why) in [
        (Rule::allow("raed", "a typing error"), "no such call"),
        (Rule::allow("ptrace", "a test"), "ever allowed"),
        (Rule::allow("fork", "a test"), "ever allowed"),
        (Rule::allow("clone", "a test"), "processes never"),
        (Rule::allow("ioctl", "a test").when(Test::Is(1, 1)).when(Test::Is(1, 2)), "contradict"),
        (Rule::allow("getrandom", "a test"), "takes that call away"),
    ] {
        let refused = Profile::decoder().less("getrandom").rule(rule).validate().unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn limits_nobody_can_live_with_are_named() {
    assert_eq!(Profile::decoder().memory(1).validate(), Err(ProfileError::Memory(1)));
    assert_eq!(Profile::decoder().resident(1).validate(), Err(ProfileError::Resident(1)));
    assert_eq!(Profile::decoder().cpu_seconds(0).validate(), Err(ProfileError::Cpu));
    assert_eq!(Profile::decoder().threads(0).validate(), Err(ProfileError::Threads));
    for unfit in ["fonts", "/", "/proc/1", "/usr/../etc"] {
        let refused = Profile::decoder().readable(unfit).validate();
        assert_eq!(refused, Err(ProfileError::Directory(unfit.into())));
    }
    assert_eq!(Profile::decoder().readable("/usr/share/fonts").validate(), Ok(()));
    assert_eq!(Profile::decoder().descriptors(3).validate(), Err(ProfileError::Descriptors(3)));
}
