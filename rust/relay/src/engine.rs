//! The engine: one thread, one poll, many sessions.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use countersign_core::lane::{Lane, Out, Reply, Turned};
use mio::{Events, Interest, Poll, Token, Waker, event::Event, unix::SourceFd};

use crate::{Intake, Spool};

const READ_BYTES: usize = 128 << 10;
/// How soon a session that waits for a writer is looked at again.
const RETRY: Duration = Duration::from_millis(1);
/// How many reads one session gets before the others have their turn.
const TURNS: usize = 16;
const WAKER: Token = Token(0);

/// A session that is handed over. Both sockets are in non-blocking mode.
pub struct Entrant {
    pub lane: Arc<Mutex<Lane>>,
    pub client: File,
    pub target: File,
    /// Its number in the spool.
    pub recording: u64,
    /// Moves on when a judgement may have become another.
    pub epoch: Arc<AtomicU64>,
    /// When the recording began.
    pub since: Instant,
}

/// Why a session is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Something is not for the lane.
    Request,
    /// The reply is not what was expected.
    Turned,
    /// The target says something that nobody asked for.
    Unasked,
    /// One of the peers has left; whoever takes the session will see which.
    Left,
    Asked,
    /// The target broke the protocol.
    Broken(String),
}

/// A session given back, with what was read and not used and what could not be sent yet.
pub struct Returned {
    pub why: Why,
    /// The request whose reply is still due.
    pub turned: Option<Box<Turned>>,
    pub from_client: Vec<u8>,
    pub from_target: Vec<u8>,
    pub to_client: Vec<u8>,
    pub to_target: Vec<u8>,
}

enum Command {
    Enter(u64, Box<Entrant>),
    Reclaim(u64, SyncSender<Option<Returned>>),
    Stop,
}

struct Shared {
    commands: Mutex<VecDeque<Command>>,
    returned: Mutex<VecDeque<(u64, Returned)>>,
    bell: File,
    waker: Waker,
    intake: Arc<Intake>,
    spool: Arc<Spool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running engine.
pub struct Engine {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// `bell` is written a byte when sessions have been given back.
    pub fn start(intake: Arc<Intake>, spool: Arc<Spool>, bell: File) -> io::Result<Self> {
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            commands: Mutex::default(),
            returned: Mutex::default(),
            bell,
            waker: Waker::new(poll.registry(), WAKER)?,
            intake,
            spool,
        });
        let run = Run {
            poll,
            shared: shared.clone(),
            sessions: HashMap::new(),
            ready: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
        };
        let thread = std::thread::Builder::new()
            .name("countersign-relay".to_owned())
            .spawn(move || run.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hand a session over. It comes back through `returned` under this number, or by `reclaim`.
    pub fn enter(&self, number: u64, entrant: Entrant) -> io::Result<()> {
        self.command(Command::Enter(number, Box::new(entrant)))
    }

    /// Take a session back now; `None` where it is not here, because it has been given back already.
    pub fn reclaim(&self, number: u64) -> Option<Returned> {
        let (answer, heard) = sync_channel(1);
        self.command(Command::Reclaim(number, answer)).ok()?;
        heard.recv().ok()?
    }

    /// The sessions given back since the last call.
    pub fn returned(&self) -> Vec<(u64, Returned)> {
        locked(&self.shared.returned).drain(..).collect()
    }

    /// End the thread; sessions that are still here are dropped.
    pub fn stop(&self) {
        if self.command(Command::Stop).is_ok()
            && let Some(thread) = locked(&self.thread).take()
        {
            let _ = thread.join();
        }
    }

    fn command(&self, command: Command) -> io::Result<()> {
        locked(&self.shared.commands).push_back(command);
        self.shared.waker.wake()
    }
}

struct Side {
    socket: File,
    readable: bool,
    /// The peer sends no more, or is gone.
    closed: bool,
    unsent: Vec<u8>,
}

impl Side {
    fn new(socket: File) -> Self {
        Self {
            socket,
            readable: false,
            closed: false,
            unsent: Vec::new(),
        }
    }

    /// Send; what the peer does not take now stays for `flush`.
    fn send(&mut self, data: Vec<u8>) {
        if self.unsent.is_empty() {
            let sent = self.write(&data);
            if sent < data.len() {
                self.unsent = data;
                self.unsent.drain(..sent);
            }
        } else {
            self.unsent.extend_from_slice(&data);
        }
    }

    fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(unsent);
        }
    }

    fn write(&mut self, data: &[u8]) -> usize {
        let mut sent = 0;
        while let Some(rest) = data.get(sent..)
            && !rest.is_empty()
        {
            match self.socket.write(rest) {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.closed |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        sent
    }

    /// How many bytes were read into `buffer`; none where nothing is there or the peer has left.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            match self.socket.read(buffer) {
                Ok(count) => {
                    // A read that did not fill the buffer has emptied the socket; the next bytes ring again.
                    self.readable = count == buffer.len();
                    self.closed |= count == 0;
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.readable = false;
                    self.closed |= error.kind() != ErrorKind::WouldBlock;
                    return 0;
                }
            }
        }
    }
}

struct Session {
    lane: Arc<Mutex<Lane>>,
    client: Side,
    target: Side,
    recording: u64,
    epoch: Arc<AtomicU64>,
    since: Instant,
    queued: bool,
    waits: bool,
}

/// What a look at a session led to.
enum Next {
    /// Nothing more until something rings.
    Idle,
    /// More at once, behind the others.
    Again,
    /// More when a writer has caught up.
    Later,
    Back(Back),
}

/// Why a session goes back, and what was read of each side and not used.
struct Back {
    why: Why,
    turned: Option<Box<Turned>>,
    from_client: Vec<u8>,
    from_target: Vec<u8>,
}

impl Back {
    fn new(why: Why) -> Self {
        Self {
            why,
            turned: None,
            from_client: Vec::new(),
            from_target: Vec::new(),
        }
    }
}

struct Run {
    poll: Poll,
    shared: Arc<Shared>,
    sessions: HashMap<u64, Session>,
    ready: VecDeque<u64>,
    buffer: Vec<u8>,
}

/// The client's token is odd, the target's even; 0 is the waker's.
fn tokens(number: u64) -> (Token, Token) {
    let first = usize::try_from(number).unwrap_or(0).wrapping_mul(2);
    (Token(first.wrapping_add(1)), Token(first.wrapping_add(2)))
}

fn number_of(token: Token) -> u64 {
    (token.0.wrapping_sub(1) / 2) as u64
}

impl Run {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let polled = self.poll.poll(&mut events, self.timeout());
            if polled.is_err_and(|error| error.kind() != ErrorKind::Interrupted) || !self.obey() {
                return;
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                self.hear(event);
            }
            for _ in 0..self.ready.len() {
                if let Some(number) = self.ready.pop_front() {
                    self.look(number);
                }
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.ready.is_empty() {
            return None;
        }
        let all_wait = self
            .ready
            .iter()
            .all(|number| self.sessions.get(number).is_none_or(|session| session.waits));
        Some(if all_wait { RETRY } else { Duration::ZERO })
    }

    /// Carry out what was asked; false when it is time to stop.
    fn obey(&mut self) -> bool {
        loop {
            let command = locked(&self.shared.commands).pop_front();
            match command {
                None => return true,
                Some(Command::Stop) => return false,
                Some(Command::Enter(number, entrant)) => self.enter(number, *entrant),
                Some(Command::Reclaim(number, answer)) => {
                    let returned = self
                        .leave(number)
                        .map(|session| give(session, Back::new(Why::Asked)));
                    let _ = answer.send(returned);
                }
            }
        }
    }

    fn enter(&mut self, number: u64, entrant: Entrant) {
        let (client, target) = tokens(number);
        let (client_fd, target_fd) = (entrant.client.as_raw_fd(), entrant.target.as_raw_fd());
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut SourceFd(&client_fd), client, both)
            .and_then(|()| registry.register(&mut SourceFd(&target_fd), target, both));
        self.sessions.insert(
            number,
            Session {
                lane: entrant.lane,
                client: Side::new(entrant.client),
                target: Side::new(entrant.target),
                recording: entrant.recording,
                epoch: entrant.epoch,
                since: entrant.since,
                queued: false,
                waits: false,
            },
        );
        if registered.is_err() {
            self.give_back(number, Back::new(Why::Asked));
        }
    }

    fn hear(&mut self, event: &Event) {
        let number = number_of(event.token());
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let is_client = event.token().0 % 2 == 1;
        let side = if is_client {
            &mut session.client
        } else {
            &mut session.target
        };
        side.readable |= event.is_readable();
        side.closed |= event.is_read_closed() || event.is_write_closed() || event.is_error();
        let wanted = side.readable || side.closed || !side.unsent.is_empty();
        if wanted && !session.queued {
            session.queued = true;
            self.ready.push_back(number);
        }
    }

    fn look(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let next = session.step(&mut self.buffer, &self.shared.intake, &self.shared.spool);
        session.queued = matches!(next, Next::Again | Next::Later);
        match next {
            Next::Idle => {}
            Next::Again | Next::Later => self.ready.push_back(number),
            Next::Back(back) => self.give_back(number, back),
        }
    }

    fn give_back(&mut self, number: u64, back: Back) {
        let Some(session) = self.leave(number) else { return };
        let returned = give(session, back);
        let mut waiting = locked(&self.shared.returned);
        waiting.push_back((number, returned));
        if waiting.len() == 1 {
            drop(waiting);
            // A full pipe has rung already.
            let _ = (&self.shared.bell).write(&[1]);
        }
    }

    fn leave(&mut self, number: u64) -> Option<Session> {
        let session = self.sessions.remove(&number)?;
        for side in [&session.client, &session.target] {
            let _ = self
                .poll
                .registry()
                .deregister(&mut SourceFd(&side.socket.as_raw_fd()));
        }
        if session.queued {
            self.ready.retain(|&one| one != number);
        }
        Some(session)
    }
}

fn give(session: Session, back: Back) -> Returned {
    // Whatever the reason, the reply to a request in flight is followed from here by whoever takes the session.
    let turned = back.turned.or_else(|| locked(&session.lane).give_up());
    Returned {
        why: back.why,
        turned,
        from_client: back.from_client,
        from_target: back.from_target,
        to_client: session.client.unsent,
        to_target: session.target.unsent,
    }
}

impl Session {
    /// Move what can be moved.
    fn step(&mut self, buffer: &mut [u8], intake: &Intake, spool: &Spool) -> Next {
        self.waits = false;
        let lane = self.lane.clone();
        let mut lane = locked(&lane);
        for _ in 0..TURNS {
            self.client.flush();
            self.target.flush();
            if self.client.closed || self.target.closed {
                return Next::Back(Back::new(Why::Left));
            }
            if !self.client.unsent.is_empty() || !self.target.unsent.is_empty() {
                return Next::Idle; // a slow client keeps the target waiting, and a slow target the client
            }
            let next = if self.target.readable {
                self.read_target(&mut lane, buffer, intake, spool)
            } else if self.client.readable && !lane.is_busy() {
                self.read_client(&mut lane, buffer, intake, spool)
            } else {
                return Next::Idle;
            };
            if let Some(next) = next {
                return next;
            }
        }
        Next::Again
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn read_target(
        &mut self,
        lane: &mut Lane,
        buffer: &mut [u8],
        intake: &Intake,
        spool: &Spool,
    ) -> Option<Next> {
        let count = self.target.read(buffer);
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            return None;
        }
        if !lane.is_busy() {
            return Some(unasked(data.to_vec()));
        }
        let mut out = Out::default();
        let reply = match lane.target(data, self.now_us(), &mut out) {
            Ok(reply) => reply,
            Err(error) => return Some(Next::Back(Back::new(Why::Broken(error.0)))),
        };
        if !out.records.is_empty() {
            intake.put(&mut out.records);
        }
        self.client.send(out.to_client);
        spool.put(self.recording, &out.recording);
        match reply {
            Reply::Turned(turned) => Some(Next::Back(Back {
                turned: Some(turned),
                ..Back::new(Why::Turned)
            })),
            Reply::Complete(left) if !left.is_empty() => Some(unasked(left)),
            Reply::Goes | Reply::Complete(_) => None,
        }
    }

    fn read_client(
        &mut self,
        lane: &mut Lane,
        buffer: &mut [u8],
        intake: &Intake,
        spool: &Spool,
    ) -> Option<Next> {
        let accepts = intake.accepts() && spool.accepts();
        if accepts && !(intake.has_room() && spool.has_room()) {
            self.waits = true;
            return Some(Next::Later);
        }
        let count = self.client.read(buffer);
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            return None;
        }
        let mut out = Out::default();
        let epoch = self.epoch.load(Ordering::Acquire);
        if !accepts || !lane.client(data, self.now_us(), epoch, &mut out) {
            return Some(Next::Back(Back {
                from_client: data.to_vec(),
                ..Back::new(Why::Request)
            }));
        }
        intake.put(&mut out.records); // I1: ahead of the bytes
        self.target.send(out.to_target);
        spool.put(self.recording, &out.recording);
        None
    }
}

fn unasked(from_target: Vec<u8>) -> Next {
    Next::Back(Back {
        from_target,
        ..Back::new(Why::Unasked)
    })
}
