//! Turns a runner on a log: does what the runner wants, one action at a time, and tells it what
//! came of it. The Kafka lane thread and the simulation both call [`Lane::step`].

use std::collections::VecDeque;
use std::time::Duration;

use super::log::{Log, LogError, Polled};
use super::runner::{Action, Event, Note, Runner};
use crate::enrich::{Answers, Question};
use crate::sighting::Timestamp;
use crate::stage::Stop;

/// A runner on a log.
pub struct Lane<L> {
    /// The state machine.
    pub runner: Runner,
    /// What it works on.
    pub log: L,
    queue: VecDeque<Action>,
    /// Questions that may be answered later; asked again after the next poll.
    later: Vec<Action>,
    /// The first action of the queue could not be done: the log is polled before it is tried again.
    held_up: bool,
}

/// What came of one step.
#[derive(Debug, PartialEq)]
pub enum Stepped {
    /// An action of the runner was done.
    Did,
    /// The log was polled and gave this many pieces of news.
    Polled(usize),
    /// Something to count or to log.
    Note(Note),
    /// The runner asks these; hand the answers to [`Lane::answer`].
    Ask(Vec<Question>),
    /// The runner wants to leave.
    Stop(Stop),
}

impl<L: Log> Lane<L> {
    /// A lane that has done nothing yet.
    pub fn new(runner: Runner, log: L) -> Self {
        Self { runner, log, queue: VecDeque::new(), later: Vec::new(), held_up: false }
    }

    /// Whether a transaction is open: the next actions belong to it.
    pub fn is_in_transaction(&self) -> bool {
        self.queue.iter().any(|action| *action == Action::Commit)
            && !self.queue.iter().any(|action| *action == Action::Begin)
    }

    /// The next action, if one waits.
    pub fn next_action(&self) -> Option<&Action> {
        self.queue.front()
    }

    /// Gives the runner answers.
    pub fn answer(&mut self, answers: Answers, now: Timestamp) {
        self.tell(Event::Answers(answers), now);
    }

    /// Lets the topics go on that a brake stopped.
    pub fn release_brakes(&mut self) {
        let actions = self.runner.release_brakes();
        self.queue.extend(actions);
    }

    fn tell(&mut self, event: Event, now: Timestamp) {
        let actions = self.runner.turn(event, now);
        self.queue.extend(actions);
    }

    /// Does the next action, or polls (waiting at most `wait`) and lets the runner go on. Takes at most
    /// `max` records, or writes as many of one transaction.
    pub fn step(&mut self, now: Timestamp, max: usize, wait: Duration) -> Stepped {
        if std::mem::take(&mut self.held_up) {
            return self.poll(now, max, wait);
        }
        let Some(action) = self.queue.pop_front() else { return self.poll(now, max, wait) };
        let mut left = if is_write(&action) { max.saturating_sub(1) } else { 0 };
        let stepped = self.act(action, now);
        while left > 0
            && let Some(write) = self.queue.pop_front_if(|next| is_write(next))
        {
            self.act(write, now);
            left -= 1;
        }
        stepped
    }

    /// Whether this is a record of a partition that is still to be sought: it comes from where the
    /// consumer should no longer be. To a runner that was rewound it would look like the next one.
    fn is_astray(&self, news: &Polled) -> bool {
        let Polled::Record(record) = news else { return false };
        self.queue.iter().any(|action| {
            matches!(action, Action::Seek(tp, _) if tp.partition == record.partition && tp.topic == record.topic)
        })
    }

    fn poll(&mut self, now: Timestamp, max: usize, wait: Duration) -> Stepped {
        self.queue.extend(self.later.drain(..));
        match self.log.poll(max, wait) {
            Ok(mut polled) => {
                polled.retain(|news| !self.is_astray(news));
                let n = polled.len();
                if n > 0 {
                    self.tell(Event::Polled(polled), now);
                }
                if self.queue.is_empty() {
                    self.tell(Event::Idle, now);
                }
                Stepped::Polled(n)
            }
            // A broker that is away comes back; librdkafka goes on trying by itself.
            Err(LogError::Retry(_)) => Stepped::Polled(0),
            Err(error) => {
                self.tell(Event::Failed(error), now);
                Stepped::Did
            }
        }
    }

    fn act(&mut self, action: Action, now: Timestamp) -> Stepped {
        let event = match &action {
            Action::Note(note) => return Stepped::Note(note.clone()),
            Action::Ask(questions) => return Stepped::Ask(questions.clone()),
            Action::Stop(stop) => {
                self.queue.clear();
                return Stepped::Stop(stop.clone());
            }
            Action::Pause(tps) => self.log.pause(tps).map(|()| None),
            Action::Resume(tps) => self.log.resume(tps).map(|()| None),
            Action::Seek(tp, offset) => self.log.seek(tp, *offset).map(|()| None),
            Action::StableCommitted(tps) => {
                self.log.stable_committed(tps).map(|list| Some(Event::StableCommitted(list)))
            }
            Action::ViewBounds { input, state } => self
                .log
                .view_bounds(state)
                .map(|(start, end)| Some(Event::ViewBounds(input.clone(), start, end))),
            Action::ReadView { input, state, from } => self
                .log
                .read_view(state, *from, 10_000)
                .map(|read| Some(Event::ViewRead(input.clone(), *from, read))),
            Action::Begin => self.log.begin().map(|()| None),
            Action::Write(output, partition) => self.log.write(output, *partition).map(|()| None),
            Action::Offsets(offsets) => self.log.offsets(offsets).map(|()| None),
            Action::Commit => self.log.commit().map(|outcome| Some(Event::Ended(outcome))),
            Action::Abort => self.log.abort().map(|()| Some(Event::Recovered)),
            Action::RebuildProducer => self.log.rebuild_producer().map(|()| Some(Event::Recovered)),
        };
        match event {
            Ok(Some(event)) => self.tell(event, now),
            Ok(None) => {}
            Err(error) => self.failed(action, error, now),
        }
        Stepped::Did
    }

    fn failed(&mut self, action: Action, error: LogError, now: Timestamp) {
        match (&action, &error) {
            (Action::Begin | Action::Write(..) | Action::Offsets(_) | Action::Commit, _) => {
                // Nothing more of this transaction is done; what else waits still is.
                if let Some(commit) = self.queue.iter().position(|waiting| *waiting == Action::Commit) {
                    self.queue.drain(..=commit);
                }
                self.tell(Event::Failed(error), now);
            }
            (Action::Abort | Action::RebuildProducer, _) | (_, LogError::Fenced(_) | LogError::Fatal(_)) => {
                self.tell(Event::Failed(error), now);
            }
            // What these do to the consumer counts in their order, and before anything that is read.
            (
                Action::Seek(..) | Action::Pause(_) | Action::Resume(_),
                LogError::Retry(_) | LogError::Abort(_),
            ) => {
                self.queue.push_front(action);
                self.held_up = true;
            }
            // Asked again after a poll, so that a rebalance is heard of in between.
            (_, LogError::Retry(_) | LogError::Abort(_)) => self.later.push(action),
        }
    }
}

fn is_write(action: &Action) -> bool {
    matches!(action, Action::Write(..))
}
