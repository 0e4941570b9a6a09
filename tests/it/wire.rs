//! The broker's own view, asked in its protocol: transactions, groups, offsets and ends.
//!
//! By hand, as rdkafka asks for none of it, or only in a way that waits for what is to be watched.
//! It writes nothing, and knows one version of each request. It reads requests and answers of others
//! too, as far as somebody between them and the broker needs it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What requests there are, as far as they are told apart here.
pub(crate) mod api {
    pub(crate) const PRODUCE: i16 = 0;
    pub(crate) const LIST_OFFSETS: i16 = 2;
    pub(crate) const OFFSET_FETCH: i16 = 9;
    pub(crate) const DESCRIBE_GROUPS: i16 = 15;
    pub(crate) const INIT_PRODUCER_ID: i16 = 22;
    pub(crate) const ADD_PARTITIONS_TO_TXN: i16 = 24;
    pub(crate) const ADD_OFFSETS_TO_TXN: i16 = 25;
    pub(crate) const END_TXN: i16 = 26;
    pub(crate) const TXN_OFFSET_COMMIT: i16 = 28;
    pub(crate) const DESCRIBE_TRANSACTIONS: i16 = 65;
}

/// A partition, by topic and number.
pub(crate) type Place = (String, i32);

/// The next frame of a connection: its length in four bytes, then so many.
pub(crate) fn frame(from: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let n = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut frame = length.to_vec();
    frame.reserve_exact(n);
    if from.take(u64::try_from(n).unwrap()).read_to_end(&mut frame)? < n {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}

/// Reads a message from its front.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of a frame; behind its length.
    pub(crate) fn new(frame: &'a [u8]) -> Self {
        Self { left: &frame[4..] }
    }

    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, left) = self.left.split_at(n);
        self.left = left;
        taken
    }

    pub(crate) fn int8(&mut self) -> i8 {
        i8::from_be_bytes(self.bytes(1).try_into().unwrap())
    }

    pub(crate) fn int16(&mut self) -> i16 {
        i16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }

    pub(crate) fn int32(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }

    pub(crate) fn int64(&mut self) -> i64 {
        i64::from_be_bytes(self.bytes(8).try_into().unwrap())
    }

    fn varint(&mut self) -> usize {
        let mut n = 0;
        for place in 0.. {
            let byte = self.bytes(1)[0];
            n |= usize::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                break;
            }
        }
        n
    }

    fn text_of(&mut self, n: usize) -> String {
        String::from_utf8(self.bytes(n).to_vec()).unwrap()
    }

    /// None is empty.
    pub(crate) fn string(&mut self) -> String {
        let n = usize::try_from(self.int16()).unwrap_or(0);
        self.text_of(n)
    }

    fn compact_string(&mut self) -> String {
        let n = self.varint().saturating_sub(1);
        self.text_of(n)
    }

    fn blob(&mut self) -> Reader<'a> {
        let n = usize::try_from(self.int32()).unwrap_or(0);
        Reader { left: self.bytes(n) }
    }

    fn tags(&mut self) {
        assert_eq!(self.varint(), 0, "a field that this reader doesn't know");
    }

    pub(crate) fn array<T>(&mut self, mut each: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.int32().max(0)).map(|_| each(self)).collect()
    }

    fn compact_array<T>(&mut self, mut each: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.varint().saturating_sub(1)).map(|_| each(self)).collect()
    }
}

/// Writes a message.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn int8(&mut self, n: i8) -> &mut Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    fn int16(&mut self, n: i16) -> &mut Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    fn int32(&mut self, n: i32) -> &mut Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    fn int64(&mut self, n: i64) -> &mut Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.int16(text.len().try_into().unwrap());
        self.0.extend(text.as_bytes());
        self
    }

    fn compact(&mut self, n: usize) -> &mut Self {
        assert!(n < 127, "one byte holds no more");
        self.0.push(u8::try_from(n).unwrap() + 1);
        self
    }

    fn length(&mut self, n: usize) -> &mut Self {
        self.int32(n.try_into().unwrap())
    }
}

/// A member of a group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The client's id: for a lane of ours its transactional id.
    pub(crate) client: String,
    /// What it was given.
    pub(crate) partitions: Vec<Place>,
}

/// What the coordinator says of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// `Ongoing`, `PrepareCommit`, `CompleteCommit`, `PrepareAbort`, `CompleteAbort`, `Empty`.
    pub(crate) state: String,
    /// What it has written to, or is about to.
    pub(crate) partitions: Vec<Place>,
}

/// A connection to the broker.
pub(crate) struct Wire {
    stream: TcpStream,
    asked: i32,
}

impl Wire {
    pub(crate) fn new(broker: impl std::net::ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(broker).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, asked: 0 }
    }

    /// Sends a request, and gives the frame of its answer.
    fn ask(&mut self, api: i16, version: i16, is_flexible: bool, body: &Writer) -> Vec<u8> {
        self.asked += 1;
        let mut message = Writer::default();
        message.int16(api).int16(version).int32(self.asked).string("tests");
        if is_flexible {
            message.int8(0);
        }
        message.0.extend(&body.0);
        let mut sent = Writer::default();
        sent.length(message.0.len());
        sent.0.extend(message.0);
        self.stream.write_all(&sent.0).unwrap();
        let answer = frame(&mut self.stream).unwrap();
        assert_eq!(Reader::new(&answer).int32(), self.asked);
        answer
    }

    /// Where each partition ends: for a reader of committed records, the last stable offset, else the
    /// high watermark. Those that the broker doesn't tell just now are left out.
    pub(crate) fn ends(&mut self, partitions: &[(&str, i32)], is_stable: bool) -> BTreeMap<Place, i64> {
        let mut body = Writer::default();
        body.int32(-1).int8(i8::from(is_stable)).length(partitions.len());
        for (topic, n) in partitions {
            body.string(topic).length(usize::try_from(*n).unwrap());
            for partition in 0..*n {
                body.int32(partition).int64(-1);
            }
        }
        let answer = self.ask(api::LIST_OFFSETS, 2, false, &body);
        let mut answer = Reader::new(&answer);
        let (_correlation, _throttle) = (answer.int32(), answer.int32());
        let mut ends = BTreeMap::new();
        answer.array(|topic| {
            let name = topic.string();
            topic.array(|one| {
                let (partition, error, _time, offset) = (one.int32(), one.int16(), one.int64(), one.int64());
                if error == 0 {
                    ends.insert((name.clone(), partition), offset);
                }
            });
        });
        ends
    }

    /// What a group has committed of a topic, without waiting for what is pending; where nothing was
    /// ever committed, 0.
    pub(crate) fn committed(&mut self, group: &str, topic: &str, partitions: i32) -> BTreeMap<Place, i64> {
        let mut body = Writer::default();
        body.string(group).length(1).string(topic).length(usize::try_from(partitions).unwrap());
        for partition in 0..partitions {
            body.int32(partition);
        }
        let answer = self.ask(api::OFFSET_FETCH, 5, false, &body);
        let mut answer = Reader::new(&answer);
        let (_correlation, _throttle) = (answer.int32(), answer.int32());
        let mut offsets = BTreeMap::new();
        answer.array(|topic| {
            let name = topic.string();
            topic.array(|one| {
                let (partition, offset, _epoch) = (one.int32(), one.int64(), one.int32());
                let (_metadata, error) = (one.string(), one.int16());
                assert_eq!(error, 0, "{name}/{partition}");
                offsets.insert((name.clone(), partition), offset.max(0));
            });
        });
        // A broker that has just begun has no coordinator yet.
        if answer.int16() == 0 {
            return offsets;
        }
        std::thread::sleep(Duration::from_millis(100));
        self.committed(group, topic, partitions)
    }

    /// State and members of a group.
    pub(crate) fn group(&mut self, group: &str) -> (String, Vec<Member>) {
        let mut body = Writer::default();
        body.length(1).string(group).int8(0);
        let answer = self.ask(api::DESCRIBE_GROUPS, 4, false, &body);
        let mut answer = Reader::new(&answer);
        let (_correlation, _throttle) = (answer.int32(), answer.int32());
        let mut groups = answer.array(|group| {
            // A broker that has just begun has no coordinator yet; then the state is empty.
            let (_error, _id, state) = (group.int16(), group.string(), group.string());
            let (_type, _protocol) = (group.string(), group.string());
            let members = group.array(|member| {
                let (_member, _instance) = (member.string(), member.string());
                let (client, _host) = (member.string(), member.string());
                let (_metadata, mut given) = (member.blob(), member.blob());
                let mut partitions = Vec::new();
                if !given.left.is_empty() {
                    let _version = given.int16();
                    given.array(|topic| {
                        let name = topic.string();
                        partitions.extend(topic.array(|one| (name.clone(), one.int32())));
                    });
                }
                Member { client, partitions }
            });
            let _operations = group.int32();
            (state, members)
        });
        groups.pop().unwrap()
    }

    /// What the coordinator knows of a transactional id; none if it has never heard of it.
    pub(crate) fn transaction(&mut self, id: &str) -> Option<Transaction> {
        let mut body = Writer::default();
        body.compact(1).compact(id.len());
        body.0.extend(id.as_bytes());
        body.int8(0);
        let answer = self.ask(api::DESCRIBE_TRANSACTIONS, 0, true, &body);
        let mut answer = Reader::new(&answer);
        let _correlation = answer.int32();
        answer.tags();
        let _throttle = answer.int32();
        let mut found = answer.compact_array(|one| {
            let (error, _id, state) = (one.int16(), one.compact_string(), one.compact_string());
            let (_timeout, _start) = (one.int32(), one.int64());
            let (_producer, _epoch) = (one.int64(), one.int16());
            let partitions = one.compact_array(|topic| {
                let name = topic.compact_string();
                let numbers = topic.compact_array(Reader::int32);
                topic.tags();
                numbers.into_iter().map(|partition| (name.clone(), partition)).collect::<Vec<_>>()
            });
            one.tags();
            (error, Transaction { state, partitions: partitions.concat() })
        });
        let (error, transaction) = found.pop().unwrap();
        (error == 0).then_some(transaction)
    }
}

/// Sends a frame that somebody else made, over a connection of its own, and gives the answer's.
pub(crate) fn send_late(broker: SocketAddr, late: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(broker).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(late).unwrap();
    frame(&mut stream).unwrap()
}
