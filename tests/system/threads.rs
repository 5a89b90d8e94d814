//! Workers that serve on several threads, called by the host and by another worker.

use std::cell::OnceCell;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloison_broker::msg::contract::serving;
use cloison_broker::msg::{CallError, CallFailure, Rights};
use cloison_broker::{
    Answer, Ask, Death, Grant, HostLink, Item, MethodError, Model, WorkerEvent, WorkerSpec, interface,
};
use cloison_sandbox::{Exit, Profile};
use cloison_worker::{Link, Stream, Thread, ThreadLink, Threads, Worker};
use rustix::process::Signal;

use crate::case::{Case, both, module, once, thrice};
use crate::host::{AMPLE, Host, Random};
use crate::watch::eventually;
use crate::words::monotonic;

pub fn cases() -> Vec<Case> {
    module(
        "threads",
        vec![
            thrice("calls_run_at_the_same_time", calls_run_at_the_same_time),
            thrice("each_call_is_answered_once", each_call_is_answered_once),
            thrice("what_is_told_first_is_known_later", what_is_told_first_is_known_later),
            thrice("chains_go_through_them", chains_go_through_them),
            thrice("streams_go_through_them", streams_go_through_them),
            thrice("what_a_thread_calls_is_made_again", what_a_thread_calls_is_made_again),
            thrice("who_gives_up_is_heard", who_gives_up_is_heard),
            thrice("a_crash_ends_each_call_once", a_crash_ends_each_call_once),
            both("a_panic_is_the_workers", a_panic_is_the_workers),
            both("what_it_died_of_is_named_if_it_was_alone", what_it_died_of_is_named_if_it_was_alone),
            once("more_than_the_profile_allows_are_an_error_at_the_start", more_than_the_profile_allows),
        ],
    )
}

/// How many threads the crew has.
const THREADS: u32 = 4;

#[interface]
trait Crew {
    /// Waits until so many are in here at a time: whether they came to be.
    fn meet(&self, many: u32) -> Answer<bool>;
    /// Waits until nobody waits for it.
    fn linger(&self) -> Answer<()>;
    /// How many linger, and how many have.
    fn lingering(&self) -> Answer<(u32, u32)>;
    #[oneway]
    fn note(&self, number: u32) -> Answer<()>;
    fn noted(&self) -> Answer<Vec<u32>>;
    /// The number, a little later.
    fn echo(&self, number: u32, micros: u64) -> Answer<u32>;
    /// Which numbers were echoed.
    fn echoed(&self) -> Answer<Vec<u32>>;
    /// Has the foreman call back, so many times.
    fn relay(&self, deep: u32) -> Answer<u32>;
    /// Calls the foreman, who dies of it the first time: whether it was a retry then.
    fn outlive(&self) -> Answer<bool>;
    /// Twice each.
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn panic(&self) -> Answer<()>;
}

/// A worker that calls the crew over its own links.
#[interface]
trait Foreman {
    /// Has as many meet as there are threads: how many did.
    fn meet(&self) -> Answer<u32, String>;
    /// Calls, tells and gives up at random. How many calls were given up, if all else was as it is to be.
    fn storm(&self, calls: u32, seed: u64) -> Answer<u32, String>;
    fn tell(&self, from: u32) -> Answer<Vec<u32>, String>;
    fn relay(&self, deep: u32) -> Answer<u32>;
    /// Dies of it, unless it is a retry.
    #[idempotent]
    fn die_first(&self) -> Answer<bool>;
    /// Has numbers doubled, while others are: the sum.
    fn double(&self, many: u32) -> Answer<u64, String>;
    /// Has so many linger, to their end.
    fn linger(&self, many: u32) -> Answer<u32, String>;
}

#[derive(Default)]
struct Shared {
    inside: Mutex<u32>,
    came: Condvar,
    linger: AtomicU32,
    lingered: AtomicU32,
    noted: Mutex<Vec<u32>>,
    echoed: Mutex<Vec<u32>>,
}

struct Member {
    shared: Arc<Shared>,
    thread: Thread,
    foreman: OnceCell<ForemanClient<ThreadLink>>,
}

impl Member {
    fn foreman(&self) -> &ForemanClient<ThreadLink> {
        self.foreman.get_or_init(|| ForemanClient::bind(&self.thread, "foreman").unwrap().within(AMPLE))
    }
}

impl Crew for Member {
    fn meet(&self, many: u32) -> Answer<bool> {
        let Shared { inside, came, .. } = &*self.shared;
        let mut inside = inside.lock().unwrap();
        *inside += 1;
        came.notify_all();
        let within = serving::time_left().unwrap() / 2;
        let (inside, timeout) = came.wait_timeout_while(inside, within, |inside| *inside % many != 0).unwrap();
        drop(inside);
        Ok(!timeout.timed_out())
    }

    fn linger(&self) -> Answer<()> {
        self.shared.linger.fetch_add(1, Ordering::SeqCst);
        while !serving::is_cancelled() {
            std::thread::sleep(Duration::from_micros(500));
        }
        self.shared.lingered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn lingering(&self) -> Answer<(u32, u32)> {
        Ok((self.shared.linger.load(Ordering::SeqCst), self.shared.lingered.load(Ordering::SeqCst)))
    }

    fn note(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn noted(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.noted.lock().unwrap().clone())
    }

    fn echo(&self, number: u32, micros: u64) -> Answer<u32> {
        self.shared.echoed.lock().unwrap().push(number);
        std::thread::sleep(Duration::from_micros(micros));
        Ok(number)
    }

    fn echoed(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.echoed.lock().unwrap().clone())
    }

    fn relay(&self, deep: u32) -> Answer<u32> {
        if deep == 0 { Ok(0) } else { Ok(self.foreman().relay(deep - 1)? + 1) }
    }

    fn outlive(&self) -> Answer<bool> {
        self.foreman().die_first()
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(2 * number?)))
    }

    fn panic(&self) -> Answer<()> {
        panic!("as it was told to");
    }
}

struct Overseer {
    worker: Worker,
    crew: OnceCell<CrewClient<Link>>,
}

impl Overseer {
    fn crew(&self) -> &CrewClient<Link> {
        self.crew.get_or_init(|| CrewClient::bind(&self.worker, "crew").unwrap().within(AMPLE))
    }
}

fn said<T>(answer: Answer<T>) -> Answer<T, String> {
    answer.map_err(|error| wrong(format!("{:?}", CallError::from(error).why)))
}

fn wrong(what: String) -> MethodError<String> {
    MethodError::Own(what)
}

impl Foreman for Overseer {
    fn meet(&self) -> Answer<u32, String> {
        let calls: Vec<_> = (0..THREADS).map(|_| self.crew().start().meet(THREADS)).collect();
        calls.into_iter().try_fold(0, |met, call| Ok(met + u32::from(said(call.wait())?)))
    }

    fn storm(&self, calls: u32, seed: u64) -> Answer<u32, String> {
        let (mut random, mut flying, mut waited) = (Random(seed | 1), Vec::new(), Vec::new());
        let (mut given_up, mut told) = (0, Vec::new());
        for number in 0..calls {
            flying.push((number, self.crew().start().echo(number, random.below(300))));
            if random.below(4) == 0 {
                said(self.crew().note(number))?;
                told.push(number);
            }
            while flying.len() > 20 || (random.below(3) == 0 && !flying.is_empty()) {
                let (number, call) = flying.swap_remove(usize::try_from(random.below(flying.len() as u64)).unwrap());
                if random.below(4) == 0 {
                    drop(call);
                    given_up += 1;
                } else if said(call.wait())? == number {
                    waited.push(number);
                } else {
                    return Err(wrong(format!("another's answer came to {number}")));
                }
            }
        }
        for (number, call) in flying {
            if said(call.wait())? != number {
                return Err(wrong(format!("another's answer came to {number}")));
            }
            waited.push(number);
        }
        let (mut echoed, noted) = (said(self.crew().echoed())?, said(self.crew().noted())?);
        echoed.sort_unstable();
        let served = echoed.len();
        echoed.dedup();
        if echoed.len() != served {
            return Err(wrong(format!("{} were served twice", served - echoed.len())));
        }
        if noted != told || waited.iter().any(|number| echoed.binary_search(number).is_err()) {
            return Err(wrong(format!("{told:?} were told, and heard {noted:?}")));
        }
        Ok(given_up)
    }

    fn tell(&self, from: u32) -> Answer<Vec<u32>, String> {
        (from..from + 50).try_for_each(|number| said(self.crew().note(number)))?;
        said(self.crew().noted())
    }

    fn relay(&self, deep: u32) -> Answer<u32> {
        if deep == 0 { Ok(0) } else { Ok(self.crew().relay(deep - 1)? + 1) }
    }

    fn die_first(&self) -> Answer<bool> {
        if !serving::is_retry() {
            std::process::abort();
        }
        Ok(true)
    }

    fn double(&self, many: u32) -> Answer<u64, String> {
        let mut streams: Vec<_> = (0..6).map(|_| self.crew().doubled(Stream::of(0..many))).collect();
        let mut sum = 0;
        for _ in 0..many {
            let call = self.crew().start().echo(1, 0);
            for stream in &mut streams {
                sum += u64::from(said(stream.next().unwrap())?);
            }
            said(call.wait())?;
        }
        Ok(sum)
    }

    fn linger(&self, many: u32) -> Answer<u32, String> {
        let calls: Vec<_> = (0..many).map(|_| self.crew().start().linger()).collect();
        let dead = |error: MethodError<_>| {
            matches!(CallError::from(error).why, CallFailure::PeerRestarted(_) | CallFailure::Gone(_))
        };
        Ok(calls.into_iter().map(|call| u32::from(call.wait().is_err_and(dead))).sum())
    }
}

pub fn main(role: &str) -> ExitCode {
    let is_crew = role.starts_with("crew");
    cloison_worker::run(move |worker| {
        if !is_crew {
            return worker.serve(ForemanServer::new(Overseer { worker: worker.clone(), crew: OnceCell::new() }));
        }
        let shared = Arc::<Shared>::default();
        worker.serve_on(Threads::new(THREADS as usize, move |thread| {
            let (shared, thread) = (Arc::clone(&shared), thread.clone());
            CrewServer::new(Member { shared, thread, foreman: OnceCell::new() })
        }))
    })
}

fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let rights = match ask.interface.as_str() {
        "crew" => CREW.rights(),
        "foreman" => FOREMAN.rights(),
        _ => return None,
    };
    Some(Grant { rights, back: Rights::default() })
}

struct Scene {
    host: Host,
    crew: CrewClient<HostLink>,
    foreman: ForemanClient<HostLink>,
}

fn scene(model: Model) -> Scene {
    let host = Host::new(model, policy);
    // Just enough.
    let profile = Profile::decoder().threads(THREADS + 1);
    host.broker.spawn(WorkerSpec::own("crew").unwrap().profile(profile)).unwrap();
    host.spawn("foreman");
    let crew = CrewClient::bind(&*host.broker, "crew").unwrap().within(AMPLE);
    let foreman = ForemanClient::bind(&*host.broker, "foreman").unwrap().within(AMPLE);
    Scene { host, crew, foreman }
}

impl Scene {
    fn until_lingering(&self, linger: u32, lingered: u32) {
        eventually("they linger", || (self.crew.lingering() == Ok((linger, lingered))).then_some(()));
    }
}

fn calls_run_at_the_same_time(model: Model) {
    let Scene { host: _host, crew, foreman } = scene(model);
    for _ in 0..5 {
        let calls: Vec<_> = (0..THREADS).map(|_| crew.start().meet(THREADS)).collect();
        for call in calls {
            assert_eq!(call.wait(), Ok(true));
        }
        assert_eq!(foreman.meet(), Ok(THREADS));
    }
}

fn each_call_is_answered_once(model: Model) {
    let Scene { host, crew, foreman } = scene(model);
    let own: Vec<_> = (1_000_000..1_000_020).map(|number| (number, crew.start().echo(number, 100))).collect();
    let seed = monotonic();
    let given_up = foreman.storm(2000, seed);
    assert!(given_up.as_ref().is_ok_and(|given_up| *given_up > 50), "{given_up:?}, seed {seed}");
    for (number, call) in own {
        assert_eq!(call.wait(), Ok(number));
    }
    drop(host);
}

fn what_is_told_first_is_known_later(model: Model) {
    let Scene { host: _host, crew: _, foreman } = scene(model);
    for round in 0..20 {
        let expected: Vec<u32> = (0..(round + 1) * 50).collect();
        assert_eq!(foreman.tell(round * 50), Ok(expected));
    }
}

fn chains_go_through_them(model: Model) {
    let Scene { host: _host, crew, foreman } = scene(model);
    for deep in [1, 2, 5, 10] {
        assert_eq!(crew.relay(deep), Ok(deep));
        assert_eq!(foreman.relay(deep), Ok(deep));
    }
    let many: Vec<_> = (0..20).map(|deep| crew.start().relay(deep % 7)).collect();
    for (deep, call) in (0..20).zip(many) {
        // They wait for one foreman, on behalf of different chains: nobody may wait for ever.
        match call.wait() {
            Ok(back) => assert_eq!(back, deep % 7),
            Err(error) => assert!(format!("{error:?}").contains("itself"), "{error:?}"),
        }
    }
}

/// More than there are threads, and calls besides.
fn streams_go_through_them(model: Model) {
    let Scene { host: _host, crew, foreman } = scene(model);
    let doubling = foreman.start().double(500);
    let doubled: Vec<u32> = crew.doubled(Stream::of(0..1000)).map(Result::unwrap).collect();
    assert_eq!(doubled, (0..1000).map(|number| 2 * number).collect::<Vec<_>>());
    assert_eq!(doubling.wait(), Ok(6 * 499 * 500));
}

fn what_a_thread_calls_is_made_again(model: Model) {
    let Scene { host, crew, foreman: _ } = scene(model);
    assert_eq!(crew.relay(1), Ok(1));
    for _ in 0..2 {
        assert_eq!(crew.outlive(), Ok(true));
        // That death does not count with the next.
        host.broker.progress("foreman");
    }
}

fn who_gives_up_is_heard(model: Model) {
    let scene = scene(model);
    let (first, second) = (scene.crew.start().linger(), scene.crew.start().linger());
    scene.until_lingering(2, 0);
    drop(first);
    scene.until_lingering(2, 1);
    drop(second);
    scene.until_lingering(2, 2);
    let brief = scene.crew.clone().within(Duration::from_millis(50));
    let _ = brief.linger();
    scene.until_lingering(3, 3);
    // What a worker has made is given up with it.
    let call = scene.foreman.start().linger(3);
    scene.until_lingering(6, 3);
    drop(call);
    scene.until_lingering(6, 6);
    assert!(scene.crew.link().late_answers() >= 2);
}

fn a_crash_ends_each_call_once(model: Model) {
    let Scene { host, crew, foreman } = scene(model);
    let (theirs, ours) = (foreman.start().linger(2), crew.start().linger());
    eventually("they linger", || (crew.lingering() == Ok((3, 0))).then_some(()));
    host.witness("crew").signal(Signal::KILL);
    assert!(matches!(CallError::from(ours.wait().unwrap_err()).why, CallFailure::PeerRestarted(_)));
    assert_eq!(theirs.wait(), Ok(2));
}

fn a_panic_is_the_workers(model: Model) {
    let Scene { mut host, crew, foreman } = scene(model);
    let others = foreman.start().linger(1);
    eventually("it lingers", || (crew.lingering() == Ok((1, 0))).then_some(()));
    let why = CallError::from(crew.panic().unwrap_err()).why;
    assert!(matches!(why, CallFailure::PeerRestarted(_)), "{why:?}");
    assert_eq!(others.wait(), Ok(1));
    let (death, words) = host.death("crew");
    assert!(matches!(death, Death::Itself(Exit::Code(101))), "{death}");
    assert!(words.len() == 1 && words[0].contains("as it was told to"), "{words:?}");
}

fn what_it_died_of_is_named_if_it_was_alone(model: Model) {
    let Scene { mut host, crew, foreman } = scene(model);
    let during = |host: &mut Host| {
        host.hear("its death", |item| match item {
            Item::Worker(WorkerEvent::Died { during, .. }) => Some(during),
            _ => None,
        })
    };
    crew.panic().unwrap_err();
    let named = format!("of method {} ", CREW.method("panic").0);
    let noted = during(&mut host);
    assert!(noted.as_ref().is_some_and(|noted| noted.contains(&named)), "{noted:?}");
    host.broker.progress("crew");
    let crew = CrewClient::bind(&*host.broker, "crew").unwrap().within(AMPLE);
    let other = crew.start().linger();
    eventually("it lingers", || (crew.lingering() == Ok((1, 0))).then_some(()));
    crew.panic().unwrap_err();
    assert_eq!(during(&mut host), None, "nobody could tell of which");
    assert!(other.wait().is_err());
    drop(foreman);
}

fn more_than_the_profile_allows() {
    let mut host = Host::new(Model::Broker, policy);
    // While the worker starts, one more than that may be.
    let profile = Profile::decoder().threads(THREADS - 1);
    host.broker.spawn(WorkerSpec::own("crew").unwrap().profile(profile)).unwrap();
    let words = host.hear("its end", |item| match item {
        Item::Worker(WorkerEvent::Died { last_words, death, .. }) => {
            assert!(matches!(death, Death::Itself(Exit::Code(1))), "{death}");
            Some(last_words)
        }
        _ => None,
    });
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    let is_named = |word: &str| word.contains("of 4 was not started") && word.contains("Profile::threads");
    assert!(words.iter().any(|word| is_named(word)), "{words:?}");
}
