//! What the workers of these tests do, by role.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

pub fn main(role: &str) -> ExitCode {
    match role {
        "silent" => loop {
            std::thread::park();
        },
        "stranger" => return ExitCode::from(7),
        _ => {}
    }
    let channel = match cloison_sandbox::enter() {
        Ok(channel) => UnixStream::from(channel),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match role {
        "echo" => echo(channel),
        "reader" => reader(channel),
        "idle" => wait(channel),
        "files" => files(channel),
        "threads" => threads(channel),
        "thread-flood" => thread_flood(channel),
        "panic" => panic!("as told"),
        "abort" => std::process::abort(),
        "spin" => loop {
            std::hint::black_box(role);
        },
        "hog" => hog(channel),
        "getppid" => getppid(channel),
        "noting" => noting(channel),
        // The C library tries `clone3` first.
        "thread-and-end" => drop(std::thread::spawn(|| ())),
        "connect" => drop(std::net::TcpStream::connect("127.0.0.1:9")),
        "unshare" => drop(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)),
        "other-thread" => {
            let offender = std::thread::spawn(|| std::net::TcpStream::connect("127.0.0.1:9"));
            let _ = offender.join();
        }
        "exit-42" => return ExitCode::from(42),
        "write" => {
            println!("to standard output");
            eprintln!("to standard error");
        }
        other => panic!("no such role: {other}"),
    }
    ExitCode::SUCCESS
}

/// Makes a call that no rule names, again and again, and says how often it failed.
fn getppid(mut channel: UnixStream) {
    let failed = (0..300).filter(|_| std::os::unix::process::parent_id() == u32::MAX).count();
    let failed = u32::try_from(failed).expect("at most 300");
    channel.write_all(&failed.to_le_bytes()).expect("the host listens");
    wait(channel);
}

/// Says that it is busy with 7, makes a call that no rule names, goes on to 8, and dies of another one.
fn noting(mut channel: UnixStream) {
    let pad = cloison_sandbox::Notepad::of_this_process().expect("a launcher gives one");
    pad.write(0, &[7]);
    let _ = std::os::unix::process::parent_id();
    pad.write(0, &[8, u64::MAX]);
    channel.read_exact(&mut [0]).expect("the host says when");
    drop(std::net::TcpStream::connect("127.0.0.1:9"));
}

/// Waits for a byte, then takes 256 MiB and says so.
fn hog(mut channel: UnixStream) {
    channel.read_exact(&mut [0]).expect("the host says when");
    let mut block = vec![0u8; 256 << 20];
    block.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&block);
    channel.write_all(b"!").expect("the host listens");
}

/// Ends when the host closes the channel.
fn wait(mut channel: UnixStream) {
    let _ = channel.read(&mut [0]);
}

fn echo(mut channel: UnixStream) {
    let mut buffer = [0; 64];
    while let Ok(length @ 1..) = channel.read(&mut buffer) {
        if channel.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Says what became of a few attempts to reach files, one letter each.
fn files(mut channel: UnixStream) {
    let attempts = [
        std::fs::read("/etc/passwd").is_ok(),
        std::fs::read_dir("/").is_ok(),
        std::fs::write("/tmp/cloison-test", "x").is_ok(),
        std::fs::metadata("/").is_ok(),
    ];
    let letters = attempts.map(|reached| if reached { b'y' } else { b'n' });
    channel.write_all(&letters).expect("the host listens");
}

/// Says what became of attempts inside and outside of the directory that the host names.
fn reader(mut channel: UnixStream) {
    let mut line = [0; 256];
    let length = channel.read(&mut line).expect("the host names a directory");
    let directory = std::path::PathBuf::from(String::from_utf8_lossy(&line[..length]).into_owned());
    let attempts = [
        std::fs::read(directory.join("file")).is_ok_and(|text| text == b"text"),
        std::fs::read_dir(&directory).is_ok_and(|entries| entries.count() == 1),
        std::fs::write(directory.join("file"), "other").is_ok(),
        std::fs::read_dir("/").is_ok(),
        std::fs::read("/etc/passwd").is_ok(),
        std::fs::read(directory.join("../../etc/passwd")).is_ok(),
    ];
    let letters = attempts.map(|reached| if reached { b'y' } else { b'n' });
    channel.write_all(&letters).expect("the host listens");
}

fn threads(mut channel: UnixStream) {
    let sum: u32 =
        (1..=4).map(|n| std::thread::spawn(move || n)).map(|thread| thread.join().expect("it only returns")).sum();
    channel.write_all(&sum.to_le_bytes()).expect("the host listens");
}

/// Starts threads until the system refuses, and says how many it had with the first.
fn thread_flood(mut channel: UnixStream) {
    let mut count: u32 = 1;
    while count < 1000 && std::thread::Builder::new().stack_size(64 << 10).spawn(std::thread::park).is_ok() {
        count += 1;
    }
    channel.write_all(&count.to_le_bytes()).expect("the host listens");
}
