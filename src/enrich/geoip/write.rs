//! Writes a GeoIP database in the MaxMind DB format 2.0: the demo's invented one, and those of tests.
//!
//! Always an IPv6 tree, with the IPv4 addresses where readers look for them. Equal input gives equal
//! bytes. It merges nothing: of networks within each other the smaller wins where it applies. Format:
//! `MaxMind-DB-spec.md` of the MaxMind-DB project.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// What readers search for, from the end of the file, to find the metadata.
pub(super) const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Between the search tree and the data.
const SEPARATOR: [u8; 16] = [0; 16];

/// A value in a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Values by name.
    Map(BTreeMap<String, Value>),
    /// Values in order.
    Array(Vec<Value>),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// 64-bit floating point.
    Double(f64),
    /// 32-bit floating point.
    Float(f32),
    /// A boolean.
    Bool(bool),
    /// Unsigned, 16 bits.
    Uint16(u16),
    /// Unsigned, 32 bits.
    Uint32(u32),
    /// Unsigned, 64 bits.
    Uint64(u64),
    /// Unsigned, 128 bits.
    Uint128(u128),
    /// Signed, 32 bits.
    Int32(i32),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A map.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

/// A record as GeoLite2-City has it: where an address is, where its network was registered when that
/// differs, and the city when it is known. Countries are ISO codes.
pub fn city_record(country: &str, registered_country: Option<&str>, city: Option<&str>) -> Value {
    let place = |code: &str| Value::map([("iso_code", Value::text(code))]);
    let mut record = vec![
        ("country", place(country)),
        ("registered_country", place(registered_country.unwrap_or(country))),
    ];
    if let Some(city) = city {
        record.push(("city", Value::map([("names", Value::map([("en", Value::text(city))]))])));
    }
    Value::map(record)
}

/// A record as GeoLite2-ASN has it.
pub fn asn_record(asn: u32, as_name: &str) -> Value {
    Value::map([
        ("autonomous_system_number", Value::Uint32(asn)),
        ("autonomous_system_organization", Value::text(as_name)),
    ])
}

/// The bytes of a database of the type `database_type` (`GeoLite2-City`, ...), built at `build_epoch`
/// (seconds since 1970). Of two entries for one network the later one counts.
///
/// # Panics
///
/// When there are more than 2^31 nodes or a value longer than 16 MiB: that is no database to be
/// written from memory.
pub fn write_mmdb(
    database_type: &str,
    build_epoch: u64,
    entries: impl IntoIterator<Item = (IpNet, Value)>,
) -> Vec<u8> {
    let mut networks: Vec<(u8, u128, Vec<u8>)> = entries
        .into_iter()
        .map(|(net, value)| {
            let (prefix, network) = in_ipv6(net);
            (prefix, network, encoded(&value))
        })
        .collect();
    // Larger networks first, so that smaller ones split them; stable, so that the later one counts.
    networks.sort_by_key(|(prefix, network, _)| (*prefix, *network));

    let mut data = Vec::new();
    let mut written: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut tree = Tree::new();
    for (prefix, network, bytes) in networks {
        let offset = *written.entry(bytes).or_insert_with_key(|bytes| {
            let offset = data.len();
            data.extend_from_slice(bytes);
            offset
        });
        tree.insert(network, prefix, Record::Data(offset));
    }
    // Where readers look for the IPv4 address in an IPv4-mapped (RFC 4291) and a 6to4 (RFC 3056) one.
    if let Some(ipv4) = tree.ipv4_root() {
        tree.alias(0xffff << 32, 96, ipv4);
        tree.alias(0x2002 << 112, 16, ipv4);
    }

    let record_size = tree.record_size(data.len());
    let mut bytes = tree.encoded(record_size);
    bytes.extend_from_slice(&SEPARATOR);
    bytes.extend_from_slice(&data);
    bytes.extend(metadata(&Metadata {
        database_type,
        build_epoch,
        ip_version: 6,
        node_count: u32::try_from(tree.nodes.len()).expect("fewer than 2^31 nodes"),
        record_size,
    }));
    bytes
}

/// What the metadata of a database says.
pub(super) struct Metadata<'a> {
    pub(super) database_type: &'a str,
    pub(super) build_epoch: u64,
    pub(super) ip_version: u16,
    pub(super) node_count: u32,
    pub(super) record_size: u16,
}

/// The metadata section, with its marker.
pub(super) fn metadata(metadata: &Metadata<'_>) -> Vec<u8> {
    let map = Value::map([
        ("binary_format_major_version", Value::Uint16(2)),
        ("binary_format_minor_version", Value::Uint16(0)),
        ("build_epoch", Value::Uint64(metadata.build_epoch)),
        ("database_type", Value::text(metadata.database_type)),
        ("description", Value::map([("en", Value::text(metadata.database_type))])),
        ("ip_version", Value::Uint16(metadata.ip_version)),
        ("languages", Value::Array(vec![Value::text("en")])),
        ("node_count", Value::Uint32(metadata.node_count)),
        ("record_size", Value::Uint16(metadata.record_size)),
    ]);
    let mut bytes = METADATA_MARKER.to_vec();
    encode(&map, &mut bytes);
    bytes
}

/// The network as the tree has it: IPv4 in the last 32 bits.
fn in_ipv6(net: IpNet) -> (u8, u128) {
    match net {
        IpNet::V4(net) => (96 + net.prefix_len(), u128::from(net.network().to_bits())),
        IpNet::V6(net) => (net.prefix_len(), net.network().to_bits()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Record {
    Empty,
    Node(usize),
    /// At this offset of the data section.
    Data(usize),
}

/// The binary search tree over address bits.
struct Tree {
    nodes: Vec<[Record; 2]>,
}

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![[Record::Empty; 2]] }
    }

    /// Which side an address takes at `depth`.
    fn side(network: u128, depth: u8) -> usize {
        usize::from(network >> (127 - depth) & 1 == 1)
    }

    /// The node above the last of `prefix` bits, made where it is missing; data on the way is pushed down.
    fn node_above(&mut self, network: u128, prefix: u8) -> usize {
        let mut node = 0;
        for depth in 0..prefix - 1 {
            let side = Self::side(network, depth);
            node = match self.nodes[node][side] {
                Record::Node(next) => next,
                leaf => {
                    self.nodes.push([leaf; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Record::Node(next);
                    next
                }
            };
        }
        node
    }

    fn insert(&mut self, network: u128, prefix: u8, record: Record) {
        if prefix == 0 {
            self.nodes[0] = [record; 2];
            return;
        }
        let node = self.node_above(network, prefix);
        self.nodes[node][Self::side(network, prefix - 1)] = record;
    }

    /// The node under which the IPv4 addresses are: 96 zero bits down.
    fn ipv4_root(&self) -> Option<usize> {
        (0..96).try_fold(0, |node, _| match self.nodes[node][0] {
            Record::Node(next) => Some(next),
            Record::Empty | Record::Data(_) => None,
        })
    }

    /// Lets a network lead to `node`, unless entries of its own are there.
    fn alias(&mut self, network: u128, prefix: u8, node: usize) {
        let above = self.node_above(network, prefix);
        let record = &mut self.nodes[above][Self::side(network, prefix - 1)];
        if *record == Record::Empty {
            *record = Record::Node(node);
        }
    }

    /// The smallest record size in bits that can point everywhere.
    fn record_size(&self, data: usize) -> u16 {
        match self.nodes.len() + SEPARATOR.len() + data {
            0..=0xff_ffff => 24,
            0x100_0000..=0xfff_ffff => 28,
            _ => 32,
        }
    }

    fn encoded(&self, record_size: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.nodes.len() * usize::from(record_size) / 4);
        for node in &self.nodes {
            let [left, right] = node.map(|record| {
                let pointer = match record {
                    Record::Empty => self.nodes.len(),
                    Record::Node(node) => node,
                    Record::Data(offset) => self.nodes.len() + SEPARATOR.len() + offset,
                };
                u32::try_from(pointer).expect("a database below 4 GiB").to_be_bytes()
            });
            match record_size {
                24 => {
                    bytes.extend_from_slice(&left[1..]);
                    bytes.extend_from_slice(&right[1..]);
                }
                28 => {
                    bytes.extend_from_slice(&left[1..]);
                    // The byte in the middle holds the highest four bits of both.
                    bytes.push(left[0] << 4 | right[0]);
                    bytes.extend_from_slice(&right[1..]);
                }
                _ => {
                    bytes.extend_from_slice(&left);
                    bytes.extend_from_slice(&right);
                }
            }
        }
        bytes
    }
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes);
    bytes
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Double(number) => {
            control(3, 8, out);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Bytes(bytes) => {
            control(4, bytes.len(), out);
            out.extend_from_slice(bytes);
        }
        Value::Uint16(number) => unsigned(5, &number.to_be_bytes(), out),
        Value::Uint32(number) => unsigned(6, &number.to_be_bytes(), out),
        Value::Map(entries) => {
            control(7, entries.len(), out);
            for (key, value) in entries {
                control(2, key.len(), out);
                out.extend_from_slice(key.as_bytes());
                encode(value, out);
            }
        }
        Value::Int32(number) => {
            control(8, 4, out);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Uint64(number) => unsigned(9, &number.to_be_bytes(), out),
        Value::Uint128(number) => unsigned(10, &number.to_be_bytes(), out),
        Value::Array(values) => {
            control(11, values.len(), out);
            values.iter().for_each(|value| encode(value, out));
        }
        // A boolean is its own size.
        Value::Bool(flag) => control(14, usize::from(*flag), out),
        Value::Float(number) => {
            control(15, 4, out);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Unsigned numbers go without their leading zero bytes.
fn unsigned(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    control(kind, bytes.len() - zeros, out);
    out.extend_from_slice(&bytes[zeros..]);
}

/// The control byte: the type in three bits, or behind it for the types above 7, and the size in five
/// bits or in up to three bytes behind.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) {
    let size = u32::try_from(size).expect("a value below 16 MiB");
    let (short, more) = match size {
        0..29 => (size.to_be_bytes()[3], 0),
        29..285 => (29, 1),
        285..65_821 => (30, 2),
        65_821..16_843_037 => (31, 3),
        _ => panic!("a value of {size} bytes, and the format ends at 16 MiB"),
    };
    out.push(if kind <= 7 { kind << 5 } else { 0 } | short);
    if kind > 7 {
        out.push(kind - 7);
    }
    let base = match more {
        1 => 29,
        2 => 285,
        3 => 65_821,
        _ => return,
    };
    out.extend_from_slice(&(size - base).to_be_bytes()[4 - more..]);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use maxminddb::Reader;
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn found(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Option<serde_json::Value> {
        reader.lookup(ip).unwrap().decode().unwrap()
    }

    #[test]
    fn every_type_and_size_of_value_is_read_back() {
        let long = |length: usize| "x".repeat(length);
        let value = Value::map([
            ("array", Value::Array(vec![Value::Bool(true), Value::Bool(false), Value::Array(Vec::new())])),
            ("double", Value::Double(-13.75)),
            ("float", Value::Float(1.5)),
            ("int", Value::Int32(-7)),
            ("nested", Value::map([("deep", Value::map([("deeper", Value::text("สวัสดี"))]))])),
            ("none", Value::Map(BTreeMap::new())),
            ("u16", Value::Uint16(u16::MAX)),
            ("u32", Value::Uint32(64_496)),
            ("u64", Value::Uint64(u64::MAX)),
            ("zero", Value::Uint32(0)),
        ]);
        let mut entries = vec![(net("192.0.2.0/24"), value)];
        let lengths = [0, 28, 29, 284, 285, 65_820, 65_821, 200_000];
        for (at, length) in (0..).zip(lengths) {
            entries
                .push((net(&format!("198.51.100.{at}/32")), Value::map([("t", Value::text(long(length)))])));
        }
        let map_of_many = Value::map((0..300).map(|n| (format!("k{n}"), Value::Uint16(n))));
        entries.push((net("203.0.113.0/24"), map_of_many));
        let reader = Reader::from_source(write_mmdb("Test", 1_790_000_000, entries)).unwrap();
        reader.verify().unwrap();
        assert_eq!(
            found(&reader, "192.0.2.77".parse().unwrap()).unwrap(),
            serde_json::json!({
                "array": [true, false, []], "double": -13.75, "float": 1.5, "int": -7,
                "nested": {"deep": {"deeper": "สวัสดี"}}, "none": {},
                "u16": 65_535, "u32": 64_496, "u64": u64::MAX, "zero": 0
            })
        );
        for (at, length) in (0..).zip(lengths) {
            let record = found(&reader, format!("198.51.100.{at}").parse().unwrap()).unwrap();
            assert_eq!(record["t"].as_str().unwrap(), long(length));
        }
        let many = found(&reader, "203.0.113.1".parse().unwrap()).unwrap();
        assert_eq!((many.as_object().unwrap().len(), &many["k299"]), (300, &serde_json::json!(299)));
        assert_eq!(reader.metadata().database_type, "Test");
        assert_eq!(reader.metadata().build_epoch, 1_790_000_000);
    }

    #[test]
    fn bytes_and_large_numbers_are_written() {
        let value = Value::map([("b", Value::Bytes(vec![1, 2])), ("n", Value::Uint128(u128::MAX))]);
        let reader = Reader::from_source(write_mmdb("Test", 0, [(net("::/0"), value)])).unwrap();
        reader.verify().unwrap();
        let result = reader.lookup("2001:db8::1".parse().unwrap()).unwrap();
        let bytes: Option<&[u8]> = result.decode_path(&[maxminddb::PathElement::Key("b")]).unwrap();
        let number: Option<u128> = result.decode_path(&[maxminddb::PathElement::Key("n")]).unwrap();
        assert_eq!((bytes, number), (Some(&[1_u8, 2][..]), Some(u128::MAX)));
    }

    #[test]
    fn smaller_networks_win_and_ipv4_is_found_in_ipv6() {
        let entries = [
            (net("192.0.2.128/25"), Value::text("half")),
            (net("192.0.2.0/24"), Value::text("whole")),
            (net("192.0.2.200/32"), Value::text("replaced")),
            (net("192.0.2.200/32"), Value::text("one")),
            (net("2001:db8::/32"), Value::text("six")),
        ];
        let reader = Reader::from_source(write_mmdb("Test", 0, entries)).unwrap();
        reader.verify().unwrap();
        let check = |ip: &str, expected: Option<&str>| {
            let value = found(&reader, ip.parse().unwrap());
            assert_eq!(value, expected.map(Into::into), "{ip}");
        };
        check("192.0.2.1", Some("whole"));
        check("192.0.2.129", Some("half"));
        check("192.0.2.200", Some("one"));
        check("192.0.2.201", Some("half"));
        check("192.0.3.1", None);
        check("2001:db8::1", Some("six"));
        check("2001:db9::1", None);
        check("::ffff:192.0.2.200", Some("one"));
        check("2002:c000:2c8::1", Some("one"));
    }

    #[test]
    fn equal_input_gives_equal_bytes() {
        let entries = || [(net("192.0.2.0/24"), city_record("TH", None, Some("Bangkok")))];
        assert_eq!(write_mmdb("GeoLite2-City", 1, entries()), write_mmdb("GeoLite2-City", 1, entries()));
        let empty = write_mmdb("GeoLite2-City", 1, []);
        Reader::from_source(empty).unwrap().verify().unwrap();
    }

    fn networks() -> impl Strategy<Value = Vec<(IpNet, u32)>> {
        let v4 = (any::<u32>(), 0_u8..=32).prop_map(|(bits, prefix)| {
            IpNet::V4(ipnet::Ipv4Net::new(bits.into(), prefix).expect("a prefix").trunc())
        });
        // Beside the IPv4 addresses and their aliases, so that each is looked up where it was put.
        let v6 = (any::<u128>(), 3_u8..=128).prop_map(|(bits, prefix)| {
            let bits = bits & !(0b111 << 125) | 0b010 << 125;
            IpNet::V6(ipnet::Ipv6Net::new(bits.into(), prefix).expect("a prefix").trunc())
        });
        prop::collection::vec((prop_oneof![v4, v6], any::<u32>()), 0..40)
    }

    proptest! {
        /// The tree answers as a search through the list does: the longest network that holds the address.
        #[test]
        fn the_tree_answers_as_the_list(entries in networks(), probes in prop::collection::vec(any::<u32>(), 8)) {
            let written = write_mmdb("Test", 0, entries.iter().map(|(net, n)| (*net, Value::Uint32(*n))));
            let reader = Reader::from_source(written).unwrap();
            reader.verify().unwrap();
            let ends = entries.iter().flat_map(|(net, _)| [net.network(), net.broadcast()]);
            for ip in ends.chain(probes.iter().map(|bits| IpAddr::V4((*bits).into()))) {
                let longest = entries.iter().filter(|(net, _)| net.contains(&ip)).max_by_key(|(net, _)| net.prefix_len());
                let found: Option<u32> = reader.lookup(ip).unwrap().decode().unwrap();
                prop_assert_eq!(found, longest.map(|(_, n)| *n), "{}", ip);
            }
        }
    }
}
