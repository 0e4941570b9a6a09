//! Between one instance and the broker: passes everything on, knows which request is which, and holds
//! one back when it is told to.
//!
//! What it knows of the instance is only what went over the wire. It changes no byte, and what it
//! held back when the instance was killed never arrives, as with any packet that was still on its way.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::wire::{Reader, api, frame};

/// A moment in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// The coordinator has taken the first partitions, or the offsets', into it; the producer has not
    /// heard of it.
    Begun,
    /// Half of a batch of records has left.
    Producing,
    /// A batch of records has arrived; the producer has not heard of it.
    Produced,
    /// The offsets have left; the broker has not heard of it.
    OffsetsAsked,
    /// The offsets have arrived; the producer has not heard of it.
    OffsetsSent,
    /// The commit is asked for; the broker has not heard of it.
    EndAsked,
    /// The broker has committed; the producer has not heard of it. The transaction is no longer open,
    /// and nobody but the broker knows.
    Committed,
}

impl Moment {
    /// Those at which to kill with the transaction open.
    pub(crate) const OPEN: [Self; 5] =
        [Self::Begun, Self::Producing, Self::Produced, Self::OffsetsSent, Self::EndAsked];
}

/// What to wait for.
#[derive(Debug, Clone)]
pub(crate) struct Trap {
    /// Of the lane whose client id begins so.
    pub(crate) lane: String,
    /// At this moment,
    pub(crate) moment: Moment,
    /// after so many others like it.
    pub(crate) skip: u32,
}

/// What was caught, and is held.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    /// The lane's client id.
    pub(crate) lane: String,
    /// Its transactional id.
    pub(crate) id: String,
    /// Whether its transaction is open, by what went over the wire so far.
    pub(crate) is_open: bool,
    /// The frame that is held.
    pub(crate) frame: Vec<u8>,
}

/// Requests of which the answer is read, and those of them that are about transactions.
const ANSWERS: [i16; 5] =
    [api::PRODUCE, TRANSACTIONAL[0], TRANSACTIONAL[1], TRANSACTIONAL[2], api::TXN_OFFSET_COMMIT];
const TRANSACTIONAL: [i16; 3] = [api::ADD_PARTITIONS_TO_TXN, api::ADD_OFFSETS_TO_TXN, api::END_TXN];

/// A request that was passed on, of which the answer matters.
struct Asked {
    api: i16,
    lane: String,
    /// Of the end of a transaction: that it is to be committed.
    commits: bool,
}

#[derive(Default)]
struct State {
    /// Connections of an earlier life are gone.
    life: u32,
    streams: Vec<TcpStream>,
    /// Whether each lane has an open transaction.
    open: BTreeMap<String, bool>,
    /// The transactional id of each lane.
    ids: BTreeMap<String, String>,
    trap: Option<Trap>,
    caught: Option<Caught>,
    /// Whether what is held may go on.
    holds: bool,
}

struct Shared {
    broker: OnceLock<SocketAddr>,
    state: Mutex<State>,
    changed: Condvar,
}

/// The one between.
pub(crate) struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Tap {
    /// Listens; connections are taken from [`Self::open`] on.
    pub(crate) fn new() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Shared { broker: OnceLock::new(), state: Mutex::new(State::default()), changed: Condvar::new() };
        (Self { address, shared: Arc::new(shared) }, listener)
    }

    /// Where the instance comes to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes connections on to `broker`, until the test binary ends.
    pub(crate) fn open(&self, listener: TcpListener, broker: SocketAddr) {
        self.shared.broker.set(broker).unwrap();
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            // Whoever came may have been killed by now.
            for from in listener.incoming().flatten() {
                drop(connect(&shared, from));
            }
        });
    }

    /// Sets a trap. What an earlier one holds goes on.
    pub(crate) fn set(&self, trap: Trap) {
        let mut state = self.shared.lock();
        state.trap = Some(trap);
        state.caught = None;
        state.holds = false;
        self.shared.changed.notify_all();
    }

    /// Waits for what the trap catches; none if nothing came in time. It stays set.
    pub(crate) fn caught(&self, most: Duration) -> Option<Caught> {
        let state = self.shared.lock();
        let waits = |state: &mut State| state.caught.is_none();
        self.shared.changed.wait_timeout_while(state, most, waits).unwrap().0.caught.clone()
    }

    /// Takes the trap away; what it holds goes on.
    pub(crate) fn release(&self) {
        let mut state = self.shared.lock();
        (state.trap, state.caught, state.holds) = (None, None, false);
        self.shared.changed.notify_all();
    }

    /// The transactional ids of all lanes.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.shared.lock().ids.values().cloned().collect()
    }

    /// The instance is gone: ends all its connections, and what is held never arrives.
    pub(crate) fn cut(&self) {
        let mut state = self.shared.lock();
        state.life += 1;
        for stream in state.streams.drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
        state.open.clear();
        (state.trap, state.caught, state.holds) = (None, None, false);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stops here if this is what the trap waits for; an error if the instance is gone since.
    fn pass(
        &self,
        life: u32,
        lane: &str,
        moment: Moment,
        frame: &[u8],
        before: impl FnOnce(),
    ) -> io::Result<()> {
        let mut state = self.lock();
        let gone = || io::Error::other("the instance is gone");
        if state.life != life {
            return Err(gone());
        }
        let is_due = match &mut state.trap {
            Some(trap) if trap.moment == moment && lane.starts_with(&trap.lane) => {
                trap.skip = trap.skip.wrapping_sub(1);
                trap.skip == u32::MAX
            }
            _ => false,
        };
        if !is_due {
            return Ok(());
        }
        before();
        let is_open = state.open.get(lane).copied().unwrap_or(false);
        state.trap = None;
        state.holds = true;
        let id = state.ids.get(lane).cloned().unwrap_or_default();
        state.caught = Some(Caught { lane: lane.to_owned(), id, is_open, frame: frame.to_vec() });
        self.changed.notify_all();
        let state = self.changed.wait_while(state, |state| state.holds && state.life == life).unwrap();
        if state.life == life { Ok(()) } else { Err(gone()) }
    }
}

fn connect(shared: &Arc<Shared>, from: TcpStream) -> io::Result<()> {
    let to = TcpStream::connect(shared.broker.get().unwrap())?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    let life = {
        let mut state = shared.lock();
        state.streams.extend([from.try_clone()?, to.try_clone()?]);
        state.life
    };
    let asked: Arc<Mutex<BTreeMap<i32, Asked>>> = Arc::default();
    let (mut client, mut broker) = (from.try_clone()?, to.try_clone()?);
    let (theirs, notes) = (shared.clone(), asked.clone());
    std::thread::spawn(move || {
        // A connection that ends in the middle is the client's to mend.
        drop(requests(&theirs, life, &notes, &mut client, &mut broker));
        drop(broker.shutdown(Shutdown::Both));
    });
    let (mut client, mut broker) = (from, to);
    let theirs = shared.clone();
    std::thread::spawn(move || {
        drop(answers(&theirs, life, &asked, &mut broker, &mut client));
        drop(client.shutdown(Shutdown::Both));
    });
    Ok(())
}

fn requests(
    shared: &Shared,
    life: u32,
    asked: &Mutex<BTreeMap<i32, Asked>>,
    client: &mut TcpStream,
    broker: &mut TcpStream,
) -> io::Result<()> {
    loop {
        let frame = frame(client)?;
        let mut request = Reader::new(&frame);
        let (api, version, correlation) = (request.int16(), request.int16(), request.int32());
        let lane = request.string();
        let (mut sent, mut commits) = (0, false);
        match api {
            // A new producer of this lane: what was open is aborted.
            api::INIT_PRODUCER_ID => {
                shared.lock().open.insert(lane.clone(), false);
            }
            api::ADD_PARTITIONS_TO_TXN | api::ADD_OFFSETS_TO_TXN => {
                shared.lock().ids.insert(lane.clone(), request.string());
            }
            api::PRODUCE => {
                let half = frame.len() / 2;
                // Written under the lock: nobody may see this moment before it is one.
                shared.pass(life, &lane, Moment::Producing, &frame, || {
                    if broker.write_all(&frame[..half]).is_ok() {
                        sent = half;
                    }
                })?;
            }
            api::TXN_OFFSET_COMMIT => shared.pass(life, &lane, Moment::OffsetsAsked, &frame, || ())?,
            api::END_TXN => {
                assert!(version < 3, "EndTxn has another form from version 3 on");
                let (_id, _producer, _epoch) = (request.string(), request.int64(), request.int16());
                commits = request.int8() != 0;
                if commits {
                    shared.pass(life, &lane, Moment::EndAsked, &frame, || ())?;
                }
            }
            _ => {}
        }
        if ANSWERS.contains(&api) {
            assert!(version < 3 || !TRANSACTIONAL.contains(&api), "it has another form from version 3 on");
            asked.lock().unwrap().insert(correlation, Asked { api, lane, commits });
        }
        broker.write_all(&frame[sent..])?;
    }
}

/// Something was taken into a lane's transaction: if it is the first, it is open from here on.
fn begun(shared: &Shared, life: u32, lane: String, frame: &[u8]) -> io::Result<()> {
    let was = shared.lock().open.insert(lane.clone(), true);
    if was == Some(true) { Ok(()) } else { shared.pass(life, &lane, Moment::Begun, frame, || ()) }
}

fn answers(
    shared: &Shared,
    life: u32,
    asked: &Mutex<BTreeMap<i32, Asked>>,
    broker: &mut TcpStream,
    client: &mut TcpStream,
) -> io::Result<()> {
    loop {
        let frame = frame(broker)?;
        let mut answer = Reader::new(&frame);
        let correlation = answer.int32();
        let of = asked.lock().unwrap().remove(&correlation);
        if let Some(Asked { api, lane, commits }) = of {
            match api {
                api::PRODUCE => shared.pass(life, &lane, Moment::Produced, &frame, || ())?,
                api::TXN_OFFSET_COMMIT => shared.pass(life, &lane, Moment::OffsetsSent, &frame, || ())?,
                api::ADD_PARTITIONS_TO_TXN => {
                    let _throttle = answer.int32();
                    let refused = answer.array(|topic| {
                        let _name = topic.string();
                        topic.array(|one| (one.int32(), one.int16())).iter().any(|(_, error)| *error != 0)
                    });
                    // The end of the one before may still be under way.
                    if !refused.contains(&true) {
                        begun(shared, life, lane, &frame)?;
                    }
                }
                // Offsets may be announced while the partitions are still refused so.
                api::ADD_OFFSETS_TO_TXN => {
                    let _throttle = answer.int32();
                    if answer.int16() == 0 {
                        begun(shared, life, lane, &frame)?;
                    }
                }
                _ => {
                    let _throttle = answer.int32();
                    if answer.int16() == 0 {
                        shared.lock().open.insert(lane.clone(), false);
                        if commits {
                            shared.pass(life, &lane, Moment::Committed, &frame, || ())?;
                        }
                    }
                }
            }
        }
        client.write_all(&frame)?;
    }
}
