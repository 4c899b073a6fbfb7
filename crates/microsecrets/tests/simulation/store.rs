//! An actor's view of the store: each request waits for its turn, has its effect in one step, and may have a fault.

use std::sync::Arc;

use async_trait::async_trait;
use microsecrets::name::Nonce;
use microsecrets::record::Head;
use microsecrets::secret::SecretBytes;
use microsecrets::store::memory::{Kept, MemoryClient};
use microsecrets::store::{
    Condition, ContentType, Delete, Deleted, Encryption, ErrorKind, Get, HeldVersion, List, Object, Operation, Page,
    Payload, Put, Source, Store, StoreError, Stored, Which,
};

use crate::ledger::Verdict;
use crate::sabotage::Sabotage;
use crate::world::{Side, State, World, at_once};

/// How often a request is tried when it fails for a reason that may pass, as the client of S3 does.
const ATTEMPTS: usize = 3;

/// One process's store.
pub(crate) struct Client {
    world: Arc<World>,
    memory: MemoryClient,
    stale: MemoryClient,
    actor: usize,
}

/// A request that may have to be sent more than once.
pub(crate) enum Request {
    Delete(Delete),
    Get(Get),
    /// 0.3.4's put: without a condition, without a mark.
    LegacyPut(String, Vec<u8>),
    List(List),
    Put(Sent),
}

/// A put, its bytes in memory.
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) bytes: SecretBytes,
    pub(crate) condition: Condition,
    pub(crate) mark: Option<Nonce>,
    encryption: Encryption,
    content_type: ContentType,
}

enum Answer {
    Deleted(Deleted),
    Object(Box<Object>),
    Page(Page),
    Stored(Stored),
    Nothing,
}

/// What becomes of one attempt.
enum Fate {
    Served,
    /// 503, before the effect.
    Refused,
    /// The effect, and no answer.
    Unanswered,
    /// No answer, and the effect at some later moment.
    Late,
    KilledBefore,
    KilledAfter,
}

impl Request {
    fn line(&self) -> (&'static str, String) {
        match self {
            Self::Delete(delete) => ("delete", delete.key.clone()),
            Self::Get(get) => ("get", get.key.clone()),
            Self::LegacyPut(key, _) => ("0.3.4's put", key.clone()),
            Self::List(list) => ("list", list.start_after.clone().unwrap_or_else(|| list.prefix.clone())),
            Self::Put(put) => ("put", put.key.clone()),
        }
    }

    fn operation(&self) -> Operation {
        match self {
            Self::Delete(_) => Operation::Delete,
            Self::Get(_) => Operation::Get,
            Self::LegacyPut(..) | Self::Put(_) => Operation::Put,
            Self::List(_) => Operation::List,
        }
    }

    fn writes(&self) -> bool {
        !matches!(self, Self::Get(_) | Self::List(_))
    }
}

impl Sent {
    fn new(put: Put) -> std::io::Result<Self> {
        let Put {
            key,
            payload,
            condition,
            encryption,
            mark,
            content_type,
            ..
        } = put;
        let bytes = match payload {
            Payload::Bytes(bytes) => bytes,
            Payload::Source(mut source) => SecretBytes::new(read_all(&mut *source)?),
            _ => unreachable!("there is no third kind of payload"),
        };
        Ok(Self {
            key,
            bytes,
            condition,
            mark,
            encryption,
            content_type,
        })
    }

    fn to_put(&self) -> Put {
        let payload = Payload::Bytes(self.bytes.duplicate());
        let mut put = Put::new(&self.key, payload, self.condition.clone(), self.encryption.clone());
        (put.mark, put.content_type) = (self.mark, self.content_type);
        put
    }
}

fn read_all(source: &mut dyn Source) -> std::io::Result<Vec<u8>> {
    source.rewind()?;
    let mut all = vec![0; source.size() as usize + 1];
    let mut filled = 0;
    loop {
        match source.read(&mut all[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    all.truncate(filled);
    Ok(all)
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, actor: usize) -> Self {
        Self {
            world: world.clone(),
            memory: world.memory.client(),
            stale: world.stale.client(),
            actor,
        }
    }

    /// A request with its retries, each of which waits for its own turn.
    async fn request(&self, request: Request) -> Result<Answer, StoreError> {
        let request = Arc::new(request);
        let (what, subject) = request.line();
        let mut maybe_applied = false;
        for _ in 0..ATTEMPTS {
            self.world.turn(self.actor).await;
            let (fate, held) = self.fate(&request);
            let answer = match fate {
                Fate::Served => Some(self.serve(&request, what, &subject)),
                Fate::Refused => None,
                Fate::Unanswered | Fate::KilledAfter => {
                    // What came of it nobody is told.
                    self.serve(&request, what, &subject).ok();
                    if self.world.state().sabotage == Some(Sabotage::LostAnswersAreFailures) {
                        return Err(StoreError::new(request.operation(), subject, ErrorKind::Unavailable));
                    }
                    maybe_applied = true;
                    None
                }
                Fate::Late => {
                    maybe_applied = true;
                    self.world.state().late.push((self.actor, request.clone()));
                    None
                }
                Fate::KilledBefore => None,
            };
            if let Some(how) = fate.how() {
                self.world.state().note(self.actor, what, subject.clone(), how);
            }
            if matches!(fate, Fate::KilledBefore | Fate::KilledAfter) {
                // The scheduler drops whoever is killed; nothing more of it happens.
                self.world.state().killed = Some(self.actor);
                std::future::pending::<()>().await;
            }
            if held {
                self.world.turn(self.actor).await;
            }
            if let Some(answer) = answer {
                return answer.map_err(|error| after_loss(error, maybe_applied));
            }
        }
        let error = StoreError::new(request.operation(), subject, ErrorKind::Unavailable);
        Err(after_loss(error, maybe_applied))
    }

    /// Decides what becomes of an attempt, and whether its answer is long on its way.
    fn fate(&self, request: &Request) -> (Fate, bool) {
        let state = &mut *self.world.state();
        state.count_request(self.actor);
        let held = state.dice.once_in(8);
        if state.faults == 0 || !state.dice.once_in(state.faults) {
            return (Fate::Served, held);
        }
        state.operations[self.actor].faults += 1;
        let fate = match state.dice.below(6) {
            0 => Fate::Refused,
            1 | 2 => Fate::Unanswered,
            3 if request.writes() => Fate::Late,
            3 => Fate::Refused,
            4 => Fate::KilledBefore,
            _ => Fate::KilledAfter,
        };
        (fate, held)
    }

    fn serve(&self, request: &Request, what: &'static str, subject: &str) -> Result<Answer, StoreError> {
        let mut state = self.world.state();
        let answer = self.effect(&mut state, request);
        let how = answer.as_ref().map_or_else(|error| format!("{:?}", error.kind), how);
        state.note(self.actor, what, subject.to_owned(), how);
        answer
    }

    /// Lets a request that is late have its effect; nobody waits for the answer.
    pub(crate) fn deliver(&self, request: &Request) {
        let (what, subject) = request.line();
        let answer = self.serve(request, what, &subject);
        let how = if answer.is_ok() {
            "arrived late"
        } else {
            "arrived too late"
        };
        self.world.state().note(self.actor, what, subject, how);
    }

    /// What a request does, in one step, and seen by the ledger.
    fn effect(&self, state: &mut State, request: &Request) -> Result<Answer, StoreError> {
        state.tick();
        match request {
            Request::Get(get) => self.get_now(state, get).map(|object| Answer::Object(Box::new(object))),
            Request::List(list) => {
                let mut page = at_once(self.memory.list(list.clone()))?;
                let hides = match state.sabotage {
                    Some(Sabotage::ListingsEndEarly) => list.limit.is_none(),
                    Some(Sabotage::LateWritesAreHidden) => state.operations[self.actor].finishes,
                    _ => false,
                };
                if hides {
                    page.entries.pop();
                }
                Ok(Answer::Page(page))
            }
            Request::LegacyPut(key, bytes) => {
                self.world.memory.put_raw(key, bytes, None);
                let side = self.world.side_of(key);
                state.ledgers[side].legacy_wrote(key, bytes);
                Ok(Answer::Nothing)
            }
            Request::Put(sent) => self.put_now(state, sent).map(Answer::Stored),
            Request::Delete(delete) => self.delete_now(state, delete).map(Answer::Deleted),
        }
    }

    fn get_now(&self, state: &State, get: &Get) -> Result<Object, StoreError> {
        let stale = match state.sabotage {
            Some(Sabotage::HeadsAreStale) => true,
            Some(Sabotage::PromotesAreStale) => state.operations[self.actor].promotes,
            _ => false,
        };
        let stale = stale && self.world.stale.object(&get.key).is_some();
        let memory = if stale { &self.stale } else { &self.memory };
        at_once(memory.get(get.clone()))
    }

    fn put_now(&self, state: &mut State, sent: &Sent) -> Result<Stored, StoreError> {
        let (world, mut put) = (&self.world, sent.to_put());
        let before = world.memory.object(&sent.key);
        let side = world.side_of(&sent.key);
        let is_head = sent.key == world.items[side].head_key();
        let unconditional = match (state.sabotage, &sent.condition) {
            (Some(Sabotage::HeadsIgnoreIfMatch), Condition::Is(_)) => is_head,
            (Some(Sabotage::FirstHeadsIgnoreIfNoneMatch), Condition::Absent) => is_head,
            _ => false,
        };
        match state.sabotage {
            Some(Sabotage::MarksAreNotKept) => put.mark = None,
            Some(Sabotage::LogEntriesAreShifted) => {
                if let Some(next) = world.items[side].number_at(&sent.key).and_then(|number| number.next()) {
                    put.key = world.items[side].log_key(next);
                }
            }
            _ => {}
        }
        let key = put.key.clone();
        world.memory.ignore_conditions(unconditional);
        let stored = at_once(self.memory.put(put));
        world.memory.ignore_conditions(false);
        let stored = stored?;
        if state.sabotage == Some(Sabotage::HeadsAreNotKept) && is_head {
            world.memory.remove(&key);
            before.into_iter().for_each(|kept| world.memory.restore(&key, kept));
            return Ok(stored);
        }
        if let Some(kept) = before.as_ref().filter(|_| is_head) {
            world.stale.restore(&key, kept.clone());
        }
        if world.theme.signed && is_head {
            let verdict = self.vouch(state, side, sent, before.as_ref());
            state.record(verdict);
        }
        if !world.theme.attacked {
            let verdict = state.ledgers[side].wrote(&world.memory, self.actor, &key, sent, before.is_some());
            state.record(verdict);
        }
        Ok(stored)
    }

    /// Lets the model of trust see a head that is put.
    fn vouch(&self, state: &mut State, side: Side, sent: &Sent, before: Option<&Kept>) -> Verdict {
        let (ledger, bytes) = (&state.ledgers[side], sent.bytes.expose());
        let head = Head::parse(bytes).map_err(|error| error.to_string())?;
        let truth = ledger.content(&self.world.memory, &head)?;
        let message = head.record().message.as_ref();
        let intent = message.and_then(|message| ledger.intents.get(message));
        let operation = &state.operations[self.actor];
        state.counts.signed_heads += u64::from(!operation.stranger);
        state.vouched.put(side, (bytes, truth), before, operation, intent)
    }

    fn delete_now(&self, state: &mut State, delete: &Delete) -> Result<Deleted, StoreError> {
        let (world, mut delete) = (&self.world, delete.clone());
        let side = world.side_of(&delete.key);
        let prefix = world.items[side].versions_prefix();
        if state.sabotage == Some(Sabotage::DeletesHitTheGreatest)
            && let Some(greatest) = world.memory.keys().into_iter().rfind(|key| key.starts_with(&prefix))
        {
            delete = Delete::new(greatest, Which::Any);
        }
        let before = world.memory.object(&delete.key);
        let key = delete.key.clone();
        let deleted = at_once(self.memory.delete(delete))?;
        let gone = before.filter(|_| world.memory.object(&key).is_none());
        if let Some(before) = gone.filter(|_| !world.theme.attacked) {
            let policy = state.operations[self.actor].policy.as_ref();
            let verdict = state.ledgers[side].removed(&key, before.mark, policy);
            state.record(verdict);
        }
        Ok(deleted)
    }

    /// 0.3.4's put.
    pub(crate) async fn legacy_put(&self, key: String, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.request(Request::LegacyPut(key, bytes)).await.map(|_| ())
    }
}

impl Fate {
    fn how(&self) -> Option<&'static str> {
        match self {
            Self::Served => None,
            Self::Refused => Some("503"),
            Self::Unanswered => Some("the answer is lost"),
            Self::Late => Some("is late"),
            Self::KilledBefore => Some("killed before it"),
            Self::KilledAfter => Some("killed after it"),
        }
    }
}

fn how(answer: &Answer) -> String {
    match answer {
        Answer::Page(page) => match page.entries.last() {
            Some(last) => format!("{} keys, the last {}", page.entries.len(), last.key),
            None => "no key".to_owned(),
        },
        _ => "ok".to_owned(),
    }
}

/// An error of a request of which an answer may have been lost before.
fn after_loss(mut error: StoreError, maybe_applied: bool) -> StoreError {
    error.maybe_applied |= maybe_applied;
    error
}

#[async_trait]
impl Store for Client {
    fn bucket(&self) -> &str {
        self.memory.bucket()
    }

    fn location(&self) -> String {
        self.memory.location()
    }

    async fn get(&self, request: Get) -> Result<Object, StoreError> {
        match self.request(Request::Get(request)).await? {
            Answer::Object(object) => Ok(*object),
            _ => unreachable!("a get answers an object"),
        }
    }

    async fn put(&self, request: Put) -> Result<Stored, StoreError> {
        let key = request.key.clone();
        let sent = Sent::new(request)
            .map_err(|error| StoreError::new(Operation::Put, key, ErrorKind::UnreadableSource).with_source(error))?;
        match self.request(Request::Put(sent)).await? {
            Answer::Stored(stored) => Ok(stored),
            _ => unreachable!("a put answers what it stored"),
        }
    }

    async fn list(&self, request: List) -> Result<Page, StoreError> {
        match self.request(Request::List(request)).await? {
            Answer::Page(page) => Ok(page),
            _ => unreachable!("a listing answers a page"),
        }
    }

    async fn delete(&self, request: Delete) -> Result<Deleted, StoreError> {
        match self.request(Request::Delete(request)).await? {
            Answer::Deleted(deleted) => Ok(deleted),
            _ => unreachable!("a delete answers what it deleted"),
        }
    }

    async fn versions(&self, key: &str) -> Result<Vec<HeldVersion>, StoreError> {
        self.memory.versions(key).await
    }
}
