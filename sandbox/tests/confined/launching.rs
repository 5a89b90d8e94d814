//! A child is started, confined, used and ended.

use std::io::{Read, Write};
use std::time::Duration;

use cloison_sandbox::{Exit, Launch, LaunchError, Layer, Profile, ProfileError, Signal, Standing, Tier};

use crate::host::{end, plan, start, tiers};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("a_confined_child_answers", a_confined_child_answers),
        ("files_are_out_of_reach", files_are_out_of_reach),
        ("threads_work", threads_work),
        ("exits_are_told_apart", exits_are_told_apart),
        ("output_is_captured", output_is_captured),
        ("the_report_lists_every_layer", the_report_lists_every_layer),
        ("off_confines_nothing_and_says_so", off_confines_nothing_and_says_so),
        ("usage_is_told", usage_is_told),
        ("a_stopped_child_can_be_killed", a_stopped_child_can_be_killed),
        ("a_silent_child_is_given_up", a_silent_child_is_given_up),
        ("a_child_that_does_not_enter_is_an_error", a_child_that_does_not_enter_is_an_error),
        ("a_bad_profile_is_refused", a_bad_profile_is_refused),
        ("a_missing_program_is_named", a_missing_program_is_named),
        ("cpu_time_is_bounded", cpu_time_is_bounded),
        ("the_kind_for_hardware_is_confined_too", the_kind_for_hardware_is_confined_too),
    ]
}

fn a_confined_child_answers() {
    for &tier in tiers() {
        let (child, mut channel) = start(plan("echo", tier)).unwrap();
        assert_eq!(child.report().tier, tier);
        assert!(child.pid() > 1);
        channel.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        channel.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        drop(channel);
        assert_eq!(end(child).exit, Exit::Code(0));
    }
}

fn files_are_out_of_reach() {
    for &tier in tiers() {
        let (_child, mut channel) = start(plan("files", tier)).unwrap();
        let mut letters = [0; 4];
        channel.read_exact(&mut letters).unwrap();
        assert_eq!(&letters, b"nnnn", "{tier}");
    }
}

fn threads_work() {
    for &tier in tiers() {
        let (_child, mut channel) = start(plan("threads", tier)).unwrap();
        let mut sum = [0; 4];
        channel.read_exact(&mut sum).unwrap();
        assert_eq!(u32::from_le_bytes(sum), 10);
    }
}

fn exits_are_told_apart() {
    for &tier in tiers() {
        let exit = |role| end(start(plan(role, tier)).unwrap().0).exit;
        assert_eq!(exit("exit-42"), Exit::Code(42));
        assert_eq!(exit("panic"), Exit::Code(101));
        let aborted = exit("abort");
        assert!(matches!(aborted, Exit::Signal { .. }), "{aborted}");
        let (child, _channel) = start(plan("idle", tier)).unwrap();
        child.kill();
        assert_eq!(end(child).exit.to_string(), "killed by SIGKILL");
    }
}

fn output_is_captured() {
    let (mut child, _channel) = start(plan("write", tiers()[0])).unwrap();
    let read = |fd: Option<std::os::fd::OwnedFd>| {
        let mut text = String::new();
        std::fs::File::from(fd.unwrap()).read_to_string(&mut text).unwrap();
        text
    };
    assert_eq!(read(child.take_stdout()), "to standard output\n");
    assert_eq!(read(child.take_stderr()), "to standard error\n");
    assert!(child.take_stderr().is_none());
}

fn the_report_lists_every_layer() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("idle", tier)).unwrap();
        println!("{:#}{}", child.report(), child.report());
        let verified = |layer| matches!(child.report().standing(layer), Standing::Verified { .. });
        for layer in [Layer::Seccomp, Layer::NoNewPrivileges, Layer::Capabilities, Layer::Descriptors] {
            assert!(verified(layer), "{layer}");
        }
        assert_eq!(verified(Layer::EmptyRoot), tier == Tier::Full);
        assert_eq!(verified(Layer::PidNamespace), tier == Tier::Full);
        assert_eq!(child.report().standing(Layer::LandlockFiles), &Standing::Attested);
    }
}

fn off_confines_nothing_and_says_so() {
    let (child, mut channel) = start(plan("files", Tier::Off)).unwrap();
    assert_eq!(child.report().tier, Tier::Off);
    assert!(child.report().layers.iter().all(|(_, standing)| *standing == Standing::Off), "{:#}", child.report());
    assert!(child.report().to_string().contains("NOT CONFINED"));
    let mut letters = [0; 4];
    channel.read_exact(&mut letters).unwrap();
    assert_eq!(letters[0], b'y', "an unconfined child reads /etc/passwd");
    let _ = std::fs::remove_file("/tmp/cloison-test");
}

fn usage_is_told() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("spin", tier)).unwrap();
        let now = loop {
            let now = child.usage_now().unwrap();
            if now.cpu >= Duration::from_millis(50) {
                break now;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(now.peak_memory > 100 << 10, "{now:?}");
        child.kill();
        let ended = end(child);
        assert!(ended.usage.cpu >= now.cpu / 2, "{ended:?}");
        assert!((100 << 10..64 << 20).contains(&ended.usage.peak_memory), "{ended:?}");
    }
}

fn a_stopped_child_can_be_killed() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("idle", tier)).unwrap();
        child.signal(Signal::STOP).unwrap();
        child.kill();
        assert_eq!(end(child).exit.to_string(), "killed by SIGKILL");
    }
}

fn a_silent_child_is_given_up() {
    let launch = Launch { ready_within: Duration::from_millis(200), ..plan("silent", tiers()[0]) };
    let refused = start(launch).unwrap_err();
    assert!(matches!(refused, LaunchError::TooLate { .. }), "{refused}");
}

fn a_child_that_does_not_enter_is_an_error() {
    let refused = start(plan("stranger", tiers()[0])).unwrap_err();
    assert!(matches!(refused, LaunchError::Died { exit: Exit::Code(7), .. }), "{refused}");
}

fn a_bad_profile_is_refused() {
    let launch = Launch { profile: Profile::decoder().threads(0), ..plan("idle", Tier::NoUserNs) };
    assert!(matches!(start(launch), Err(LaunchError::Profile(ProfileError::Threads))));
}

fn a_missing_program_is_named() {
    let program = cloison_sandbox::Program::Path("/nonexistent/decoder".into());
    let refused = start(Launch { program, ..plan("idle", Tier::NoUserNs) }).unwrap_err();
    assert!(refused.to_string().contains("/nonexistent/decoder"), "{refused}");
}

fn cpu_time_is_bounded() {
    for &tier in tiers() {
        let launch = Launch { profile: Profile::decoder().cpu_seconds(1), ..plan("spin", tier) };
        let (child, _channel) = start(launch).unwrap();
        assert_eq!(end(child).exit.to_string(), "killed by SIGKILL");
    }
}

fn the_kind_for_hardware_is_confined_too() {
    for &tier in tiers() {
        let launch = Launch { profile: Profile::hardware(), ..plan("files", tier) };
        let (child, mut channel) = start(launch).unwrap();
        assert_eq!(child.report().tier, tier);
        let mut letters = [0; 4];
        channel.read_exact(&mut letters).unwrap();
        assert_eq!(&letters, b"nnnn", "{tier}");
    }
}
