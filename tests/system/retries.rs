//! Calls whose server dies: made again if that does no harm, and told of otherwise.

use std::cell::OnceCell;
use std::process::ExitCode;
use std::time::Duration;

use cloison_broker::msg::contract::{Answers, Client, RETRIES_MAX, Stub, serving};
use cloison_broker::msg::{CallError, CallFailure, Gone, Rights};
use cloison_broker::{Answer, Ask, Grant, HOST, HostLink, Item, MethodError, Model, WorkerSpec, interface};
use cloison_worker::{Link, Worker};
use serde::{Deserialize, Serialize};

use crate::case::{Case, both, module, once, thrice};
use crate::host::{AMPLE, Host};
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    module(
        "retries",
        vec![
            thrice("an_idempotent_call_outlives_its_server", an_idempotent_call_outlives_its_server),
            thrice("any_other_runs_once_at_most", any_other_runs_once_at_most),
            thrice("what_was_not_taken_is_made_again", what_was_not_taken_is_made_again),
            thrice("many_in_flight_are_made_again", many_in_flight_are_made_again),
            both("the_deadline_is_the_whole_call_s", the_deadline_is_the_whole_call_s),
            both("what_kills_each_server_is_not_tried_for_ever", what_kills_each_server_is_not_tried_for_ever),
            once("who_does_not_come_back_is_gone", who_does_not_come_back_is_gone),
        ],
    )
}

/// When the server of a call dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Dies {
    Never,
    /// Before it has done anything, the first time.
    Early,
    /// When it has done all but to answer, the first time.
    Late,
    /// Early, each time.
    Always,
}

/// Whether it is said to be a retry, is what each method answers.
#[interface]
trait Account {
    #[idempotent]
    fn set(&self, to: u32, dies: Dies) -> Answer<bool>;
    fn add(&self, by: u32, dies: Dies) -> Answer<bool>;
}

/// Does the same at the account, for so many milliseconds at most, and says what became of it.
#[interface]
trait Clerk {
    fn set(&self, to: u32, dies: Dies, within: u64) -> Answer<bool, String>;
    fn add(&self, by: u32, dies: Dies) -> Answer<bool, String>;
    /// So many at once: how many of them were retries.
    fn set_many(&self, count: u32) -> Answer<u32, String>;
}

/// The host's: what accounts have done, whatever became of them.
#[interface]
trait Book {
    #[oneway]
    fn note(&self, what: u32) -> Answer<()>;
}

struct Till {
    book: BookClient<Link>,
}

impl Till {
    fn note(&self, what: u32, dies: Dies) -> Answer<bool> {
        let again = serving::is_retry();
        if dies == Dies::Always || (dies == Dies::Early && !again) {
            std::process::abort();
        }
        self.book.note(if again { what + 100 } else { what })?;
        if dies == Dies::Late && !again {
            std::process::abort();
        }
        Ok(again)
    }
}

impl Account for Till {
    fn set(&self, to: u32, dies: Dies) -> Answer<bool> {
        self.note(to, dies)
    }

    fn add(&self, by: u32, dies: Dies) -> Answer<bool> {
        self.note(by, dies)
    }
}

struct Teller {
    worker: Worker,
    account: OnceCell<AccountClient<Link>>,
}

impl Teller {
    fn account(&self) -> AccountClient<Link> {
        self.account.get_or_init(|| AccountClient::bind(&self.worker, "account").unwrap()).clone()
    }
}

fn said<T>(answer: Answer<T>) -> Answer<T, String> {
    answer.map_err(|error| MethodError::Own(format!("{:?}", CallError::from(error).why)))
}

impl Clerk for Teller {
    fn set(&self, to: u32, dies: Dies, within: u64) -> Answer<bool, String> {
        said(self.account().within(Duration::from_millis(within)).set(to, dies))
    }

    fn add(&self, by: u32, dies: Dies) -> Answer<bool, String> {
        said(self.account().add(by, dies))
    }

    fn set_many(&self, count: u32) -> Answer<u32, String> {
        let mut answers = Answers::new();
        for to in 0..count {
            answers.add(to, self.account().start().set(to, if to == 0 { Dies::Early } else { Dies::Never }));
        }
        let mut retries = 0;
        while let Some((_, answer)) = answers.next() {
            retries += u32::from(said(answer)?);
        }
        Ok(retries)
    }
}

pub fn main(role: &str) -> ExitCode {
    let is_account = role.starts_with("account");
    cloison_worker::run(move |worker| match is_account {
        true => {
            // The host of these tests is not asked what it serves: it reads what it gets when it likes.
            let book = BookClient::over(Stub::new(worker.open(HOST, &BOOK).unwrap(), 1));
            worker.serve(AccountServer::new(Till { book }))
        }
        false => worker.serve(ClerkServer::new(Teller { worker: worker.clone(), account: OnceCell::new() })),
    })
}

fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let rights = match ask.interface.as_str() {
        "account" => ACCOUNT.rights(),
        "clerk" => CLERK.rights(),
        "book" => BOOK.rights(),
        _ => return None,
    };
    Some(Grant { rights, back: Rights::default() })
}

struct Scene {
    host: Host,
    account: AccountClient<HostLink>,
    clerk: ClerkClient<HostLink>,
}

fn scene(model: Model) -> Scene {
    let host = Host::new(model, policy);
    host.spawn("account");
    host.spawn("clerk");
    let account = AccountClient::bind(&*host.broker, "account").unwrap();
    let clerk = ClerkClient::bind(&*host.broker, "clerk").unwrap();
    Scene { host, account, clerk }
}

impl Scene {
    /// What the account has done since the last time that this was asked.
    fn notes(&mut self) -> Vec<u32> {
        // What it had told before it answers this has arrived by then, and so have its predecessor's last words.
        AccountClient::bind(&*self.host.broker, "account").unwrap().link().close();
        let items = std::iter::from_fn(|| self.host.inbox.next_within(Duration::ZERO));
        items.filter_map(|item| if let Item::Message(note) = item { note.value().ok() } else { None }).collect()
    }

    /// The next death does not count with those before.
    fn progress(&self) {
        self.host.broker.progress("account");
    }
}

fn why<T>(answer: Answer<T>) -> CallFailure {
    CallError::from(answer.map(drop).unwrap_err()).why
}

fn within() -> u64 {
    u64::try_from(AMPLE.as_millis()).unwrap()
}

fn an_idempotent_call_outlives_its_server(model: Model) {
    let mut scene = scene(model);
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!((scene.account.set(1, Dies::Never), scene.notes()), (Ok(false), vec![1]));
    for (dies, notes) in [(Dies::Early, vec![107]), (Dies::Late, vec![7, 107])] {
        let calls: [&dyn Fn(&Scene) -> bool; 4] = [
            &|scene| scene.account.set(7, dies).unwrap(),
            &|scene| scene.account.start().set(7, dies).wait().unwrap(),
            &|scene| tokio.block_on(scene.account.start().set(7, dies)).unwrap(),
            &|scene| scene.clerk.set(7, dies, within()).unwrap(),
        ];
        for (at, call) in calls.into_iter().enumerate() {
            // Both clients lead to whoever is there.
            assert!(scene.account.set(0, Dies::Never).is_ok() && scene.clerk.set(0, Dies::Never, within()).is_ok());
            scene.notes();
            assert!(call(&scene), "it is said to be a retry");
            assert_eq!(scene.notes(), notes, "{dies:?}, way {at}");
            scene.progress();
        }
    }
    // The clients lead to the successor now, whatever is called, and so do their clones.
    assert!(scene.account.set(0, Dies::Never).is_ok());
    scene.notes();
    assert_eq!(scene.account.clone().add(3, Dies::Never), Ok(false));
    assert_eq!(scene.clerk.add(4, Dies::Never), Ok(false));
    assert_eq!(scene.notes(), [3, 4]);
}

fn any_other_runs_once_at_most(model: Model) {
    let mut scene = scene(model);
    for (dies, notes) in [(Dies::Early, vec![]), (Dies::Late, vec![7])] {
        let failed = why(scene.account.add(7, dies));
        assert_eq!(failed, CallFailure::PeerRestarted(Gone::Crashed("killed by SIGABRT".into())));
        assert_eq!(scene.notes(), notes, "{dies:?}");
        assert_eq!(why(scene.account.add(7, Dies::Never)), failed, "the link is gone, and nothing was sent");
        scene.account = AccountClient::bind(&*scene.host.broker, "account").unwrap();
        assert_eq!((scene.account.add(8, Dies::Never), scene.notes()), (Ok(false), vec![8]));
        scene.progress();

        assert!(scene.clerk.set(1, Dies::Never, within()).is_ok());
        scene.notes();
        let failed = scene.clerk.add(7, dies).unwrap_err().own().unwrap();
        assert_eq!(failed, r#"PeerRestarted(Crashed("killed by SIGABRT"))"#);
        assert_eq!(scene.notes(), notes, "{dies:?}");
        assert!(scene.clerk.set(9, Dies::Never, within()).is_ok(), "an idempotent one leads to the successor");
        assert_eq!((scene.clerk.add(8, Dies::Never), scene.notes()), (Ok(false), vec![109, 8]));
        scene.progress();
        scene.account = AccountClient::bind(&*scene.host.broker, "account").unwrap();
    }
}

fn what_was_not_taken_is_made_again(model: Model) {
    let mut scene = scene(model);
    scene.clerk.set(0, Dies::Never, within()).unwrap();
    scene.notes();
    scene.host.freeze("account");
    let (set, add) = (scene.account.start().set(1, Dies::Never), scene.account.start().add(2, Dies::Never));
    let of_clerk = scene.clerk.start().set(3, Dies::Never, within());
    assert!(scene.host.broker.kill("account", "it hangs"));
    assert_eq!((set.wait(), of_clerk.wait()), (Ok(true), Ok(true)));
    assert!(matches!(why(add.wait()), CallFailure::PeerRestarted(_)));
    let mut notes = scene.notes();
    notes.sort_unstable();
    assert_eq!(notes, [101, 103]);
}

fn many_in_flight_are_made_again(model: Model) {
    let mut scene = scene(model);
    let mut answers = Answers::new();
    for to in 0..10 {
        answers.add(to, scene.account.start().set(to, if to == 0 { Dies::Early } else { Dies::Never }));
    }
    let order: Vec<_> = std::iter::from_fn(|| answers.next()).map(|(to, answer)| (to, answer.unwrap())).collect();
    assert_eq!(order.len(), 10);
    assert!(order.iter().all(|(_, again)| *again));
    let mut notes = scene.notes();
    notes.sort_unstable();
    assert_eq!(notes, (100..110).collect::<Vec<_>>());
    scene.progress();
    assert_eq!(scene.clerk.set_many(10), Ok(10));
    scene.notes();
    let links = scene.host.broker.explain("clerk", "account").len() + scene.host.broker.explain(HOST, "account").len();
    assert_eq!(links, 2, "each client has opened one");
}

fn the_deadline_is_the_whole_call_s(model: Model) {
    let mut scene = scene(model);
    // Less than the pause before a restart.
    let brief = Duration::from_millis(8);
    scene.host.freeze("account");
    let call = scene.account.clone().within(brief).start().set(1, Dies::Never);
    assert!(scene.host.broker.kill("account", "it hangs"));
    let error = CallError::from(call.wait().unwrap_err());
    assert_eq!((error.why, error.peer.as_str()), (CallFailure::Deadline, "account"));
    assert!(error.after >= brief && error.after < AMPLE / 2, "{:?}", error.after);
    scene.host.death("account");
    scene.host.restarted("account");
    assert!(scene.clerk.set(0, Dies::Never, within()).is_ok());
    scene.host.freeze("account");
    let call = scene.clerk.start().set(1, Dies::Never, 8);
    assert!(scene.host.broker.kill("account", "it hangs"));
    assert_eq!(call.wait().unwrap_err().own().as_deref(), Some("Deadline"));
    scene.host.death("account");
    assert!(scene.clerk.set(2, Dies::Never, within()).is_ok(), "it is back");
}

fn what_kills_each_server_is_not_tried_for_ever(model: Model) {
    let mut scene = scene(model);
    let error = CallError::from(scene.account.set(1, Dies::Always).unwrap_err());
    assert!(matches!(error.why, CallFailure::PeerRestarted(_)), "{error}");
    assert!(error.to_string().starts_with("call of account, method set of account, failed after "), "{error}");
    for _ in 0..=RETRIES_MAX {
        scene.host.death("account");
    }
    assert_eq!(scene.account.set(2, Dies::Never), Ok(true), "there was one restart more");
    scene.progress();
    let said = scene.clerk.set(1, Dies::Always, within()).unwrap_err().own().unwrap();
    assert!(said.starts_with("PeerRestarted("), "{said}");
}

fn who_does_not_come_back_is_gone() {
    let host = Host::new(Model::Broker, policy);
    host.broker.spawn(WorkerSpec::own("account").unwrap().restarts(0)).unwrap();
    let account = AccountClient::bind(&*host.broker, "account").unwrap();
    let gone = CallFailure::Gone(Gone::GivenUp("peer crashed: killed by SIGABRT".into()));
    assert_eq!(why(account.set(1, Dies::Early)), gone);
    assert_eq!(why(account.add(1, Dies::Never)), gone, "it is remembered");
    eventually("it is known", || AccountClient::bind(&*host.broker, "account").is_err().then_some(()));
}
