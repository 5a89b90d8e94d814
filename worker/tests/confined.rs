//! Workers that are confined processes. The executable is its own worker, hence no test harness of the usual kind.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, which this harness has not")]

#[allow(dead_code, unused_macros, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use cloison_msg::{Failure, Gone, Interface, Message, Route, RpcIndex};
use cloison_sandbox::{Child, Exit, Launch, Launcher};
use cloison_worker::{Answer, BufferRef, PoolShape, Request, Threads, Worker, interface};
use libtest_mimic::{Arguments, Trial};
use world::World;

const TEST: Interface = Interface::new("test", &["echo", "lend", "borrow"]);
const ECHO: RpcIndex = TEST.method("echo");
const LEND: RpcIndex = TEST.method("lend");
const BORROW: RpcIndex = TEST.method("borrow");
const SHAPE: PoolShape = PoolShape { buffer_size: 5000, count: 2 };

/// Long enough for anything that ends by itself, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

type Outcome = Result<(), String>;

fn main() -> ExitCode {
    cloison_worker::roles(&[
        ("server", server as fn(&Worker) -> Outcome),
        ("failing", failing),
        ("panicking", panicking),
        ("hanging", hanging),
    ]);
    let mut trials = Vec::new();
    for route in [Route::Relayed, Route::Direct] {
        for (name, test) in [
            ("a_confined_worker_answers", a_confined_worker_answers as fn(Route)),
            ("confined_workers_lend_and_borrow", confined_workers_lend_and_borrow),
            ("an_error_is_one_line_and_exit_code_1", an_error_is_one_line_and_exit_code_1),
            ("a_panic_is_one_line_and_exit_code_101", a_panic_is_one_line_and_exit_code_101),
            ("methods_that_hang_do_not_hold_up_the_end", methods_that_hang_do_not_hold_up_the_end),
        ] {
            trials.push(trial(format!("{route:?}::{name}").to_lowercase(), move || test(route)));
        }
    }
    trials.push(trial("a_role_nobody_plays_is_exit_code_2".to_owned(), a_role_nobody_plays_is_exit_code_2));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        test();
        Ok(())
    })
}

fn server(worker: &Worker) -> Outcome {
    worker.serve(serve).map_err(|error| error.to_string())
}

fn serve(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    match request.rpc() {
        ECHO => {
            reply.append(request.recv::<&str>()?)?;
        }
        LEND => {
            let pool = request.link().pool(SHAPE).map_err(|error| Failure::remote(1, error.to_string()))?;
            let mut buffer = pool.acquire().map_err(|error| Failure::remote(2, error.to_string()))?;
            buffer.fill(request.recv()?);
            reply.append(&buffer.lend(5000))?;
        }
        _ => {
            let buffer = request.recv_buffer()?;
            let mut copy = vec![0; buffer.len()];
            buffer.copy_to(&mut copy).map_err(|error| Failure::remote(3, error.to_string()))?;
            reply.append(&copy.iter().map(|&byte| u32::from(byte)).sum::<u32>())?;
        }
    }
    Ok(request.finish()?)
}

fn failing(worker: &Worker) -> Outcome {
    let _ = worker.open("client", &TEST);
    Err("\u{1b}[2J went wrong\nin two lines".to_owned())
}

fn panicking(worker: &Worker) -> Outcome {
    worker
        .serve(|_: &Worker, _: &mut Request<'_>, _: &mut Message<OwnedFd>| panic!("{}", "as told ".repeat(100)))
        .unwrap();
    Ok(())
}

#[interface]
trait Hanging {
    fn hang(&self) -> Answer<()>;
    fn is_well(&self) -> Answer<bool>;
}

struct Hung;

impl Hanging for Hung {
    fn hang(&self) -> Answer<()> {
        loop {
            std::thread::park();
        }
    }

    fn is_well(&self) -> Answer<bool> {
        Ok(true)
    }
}

fn hanging(worker: &Worker) -> Outcome {
    worker.serve_on(Threads::new(3, |_| HangingServer::new(Hung))).map_err(|error| error.to_string())
}

/// A process of this executable, confined as strictly as the system allows.
fn launch(world: &mut World, role: &str) -> Child {
    let control = world.port(role);
    let launch = Launch { ready_within: SOON, ..Launch::own(role) };
    Launcher::new().unwrap().launch(launch, control.into()).unwrap()
}

/// How a process ended, and what it said on standard error.
fn end(mut child: Child) -> (Exit, String) {
    let ended = child.wait(SOON).unwrap().expect("it ends by itself");
    let mut said = String::new();
    File::from(child.take_stderr().unwrap()).read_to_string(&mut said).unwrap();
    (ended.exit, said)
}

fn a_confined_worker_answers(route: Route) {
    let mut world = World::new(route);
    let child = launch(&mut world, "server");
    let client = world.here("client");
    let link = client.open_within("server", &TEST, SOON).unwrap();
    let mut message = Message::new();
    for _ in 0..100 {
        message.append("hello").unwrap();
        assert_eq!(link.call(ECHO, &mut message).unwrap().value::<&str>(), Ok("hello"));
    }
    drop(world);
    assert_eq!(end(child), (Exit::Code(0), String::new()), "the end of the broker is a good end");
}

fn confined_workers_lend_and_borrow(route: Route) {
    let mut world = World::new(route);
    let _child = launch(&mut world, "server");
    let client = world.here("client");
    let link = client.open_within("server", &TEST, SOON).unwrap();
    let mut message = Message::new();
    message.append(&9u8).unwrap();
    let lent: BufferRef = link.call(LEND, &mut message).unwrap().value().unwrap();
    let mut copy = vec![0; 5000];
    link.borrow(lent).unwrap().copy_to(&mut copy).unwrap();
    assert_eq!(copy, [9; 5000]);
    let pool = link.pool(SHAPE).unwrap();
    let mut buffer = pool.acquire().unwrap();
    buffer.fill(2);
    message.append(&buffer.lend(4000)).unwrap();
    assert_eq!(link.call(BORROW, &mut message).unwrap().value(), Ok(8000u32));
}

fn an_error_is_one_line_and_exit_code_1(route: Route) {
    let mut world = World::new(route);
    let client = world.here("client");
    let child = launch(&mut world, "failing");
    let said = "failing: \\u{1b}[2J went wrong\\nin two lines\n".to_owned();
    assert_eq!(end(child), (Exit::Code(1), said));
    drop((world, client));
}

fn a_panic_is_one_line_and_exit_code_101(route: Route) {
    let mut world = World::new(route);
    let child = launch(&mut world, "panicking");
    let client = world.here("client");
    let link = client.open_within("panicking", &TEST, SOON).unwrap();
    let error = link.call(ECHO, &mut Message::new()).unwrap_err();
    assert!(matches!(error.why, cloison_msg::CallFailure::PeerRestarted(Gone::Crashed(_))), "{error}");
    let (exit, said) = end(child);
    assert_eq!(exit, Exit::Code(101));
    assert!(said.starts_with("panicking: panicked at ") && said.contains("as told as told"), "{said}");
    assert!(said.len() < 300 && said.trim_end().lines().count() == 1, "{said}");
}

fn methods_that_hang_do_not_hold_up_the_end(route: Route) {
    let mut world = World::new(route);
    let child = launch(&mut world, "hanging");
    let worker = world.here("client");
    let client = HangingClient::bind(&worker, "hanging").unwrap().within(SOON);
    let hung = [(); 2].map(|()| client.start().hang());
    assert_eq!(client.is_well(), Ok(true));
    drop(world);
    assert_eq!(end(child), (Exit::Code(0), String::new()));
    drop(hung);
}

fn a_role_nobody_plays_is_exit_code_2() {
    let (_broker, control) = cloison_ipc::ProcessIpc::pair().unwrap();
    let launch = Launch { ready_within: SOON, ..Launch::own("nobody") };
    let error = Launcher::new().unwrap().launch(launch, control.into()).unwrap_err();
    assert!(error.to_string().contains("exit code 2"), "{error}");
}
