#!/usr/bin/env python3
"""Checks a Sightline ledger, and the messages on audience topics, without Sightline.

It is written from what `sightline schema ledger` and `sightline ledger export --help` say, and from nothing
else: the numbers below are those of the rules there. It needs Python 3.9 and no packages.

    sightline ledger export --pipeline FILE > export.ndjson
    python3 verify.py [--entries-only] [--heads FILE] export.ndjson...

It prints a line for each fault, then the head of each chain, and exits with 1 if there was a fault. Keep
what it prints where nobody who can write the ledger can: as --heads it shows later what was cut off.
"""
import argparse, base64, collections, hashlib, json, re, sys

BAD = (ValueError, KeyError, IndexError, TypeError, RecursionError)  # what reading bad JSON raises
faults = []

def fault(kind, name, seq, where, text):
    faults.append(f"{kind}: {name}{f' entry {seq}' if seq else ''}, {where}: {text}")

def records(path):
    """The lines of an export: where it stands, topic, key, headers, the bytes of the value."""
    for n, line in enumerate(sys.stdin.buffer if path == "-" else open(path, "rb"), 1):
        try:
            record = json.loads(line)
            headers = [(name, text) for name, text in record["headers"]]
            value = base64.b64decode(record["value_base64"], validate=True) if "value_base64" in record else \
                line.rstrip(b"\n").split(b'],"value":', 1)[1][:-1]
            yield f"{path} line {n}", record["topic"], record["key"], headers, value
        except BAD as err:
            fault("not-a-record", "", None, f"{path} line {n}", repr(err))

def read_entry(where, key, value):
    """Rule 1, and the key of rule 2."""
    try:
        entry = json.loads(value)
        name, seq, out = entry["agreement"]["id"], entry["seq"], entry["output"]
        if not type(seq) is type(entry.get("stops", 0)) is int or seq < 1 or not isinstance(out["topic"], str):
            raise ValueError("a field of another type")
        one = (entry["disclosure_id"], str(entry["disclosure_version"]))
        headers = {"dx-disclosure-id": one[0], "dx-version": one[1], "dx-tlp": entry["tlp"], "dx-pap": entry["pap"],
                   "dx-agreement": f"{name}@{entry['agreement']['version']}",
                   "dx-agreement-digest": entry["agreement"]["digest"]}
        entry |= {"place": (name, seq), "where": where, "one": one, "message": None, "stopped": False,
                  **{field: entry[field] for field in ("kind", "prev", "commitment")},
                  "said": {"topic": out["topic"], "key": out["key"], "bytes": out["bytes"], **headers}}
        parts = re.fullmatch(rb'(.*),"hash":"([0-9a-f]{64})"}', value, re.DOTALL)
        digest = hashlib.sha256(parts[1] + b"}").hexdigest() if parts else ""
        entry |= {"hash": digest, "whole": parts and digest.encode() == parts[2]}
    except BAD as err:
        return fault("not-an-entry", key, None, where, repr(err))
    if name != key:
        return fault("foreign", key, seq, where, f"it is entry {seq} of {name}")
    if not entry["whole"]:
        fault("changed", name, seq, where, "its bytes are not those that its digest is of")
    return entry

def check_chain(name, entries, head):
    """Rules 2 to 4: the entries of one agreement, in the order in which they stand."""
    chain, last = {}, 0
    for entry in entries:
        seq = entry["seq"]
        if chain.setdefault(seq, entry) is not entry:
            fault("twice", name, seq, entry["where"], f"it also stands at {chain[seq]['where']}")
        elif seq < last:
            fault("moved", name, seq, entry["where"], f"it stands after entry {last}")
        last = seq
    before = 0
    for seq in [*sorted(chain), max([*chain, head[0]]) + 1]:
        if seq > before + 1:
            fault("removed", name, before + 1, "", f"missing, to entry {seq - 1}")
        before = seq
    for seq, entry in sorted(chain.items()):
        other = chain.get(seq - 1, {"hash": "0" * 64, "whole": seq == 1, "where": ""})
        if entry["whole"] and other["whole"] and entry["prev"] != other["hash"]:
            fault("replaced", name, seq - 1 or 1, other["where"], f"not what entry {seq} names as before it")
        if seq == head[0] and entry["hash"] != head[1]:
            fault("replaced", name, seq, entry["where"], "its digest is not that of the head that was kept")
        stops = chain.get(entry.get("stops"))
        if stops and stops["kind"] == "disclosed" != entry["kind"] and stops["one"][0] == entry["one"][0] \
                and stops["seq"] < seq and not stops["stopped"]:
            stops["stopped"] = True
        elif stops or entry.get("stops", 0) >= seq:
            fault("stops-nothing", name, seq, entry["where"], "what it stops is not there to be stopped")
    return [entry for _, entry in sorted(chain.items())]

def check_messages(entries, messages):
    """Rules 5 and 6: the message of each entry is there once, and nothing else is."""
    told = collections.defaultdict(list)
    for entry in entries:
        if entry["kind"] == "disclosed":
            told[entry["one"]].append(entry)
    for where, topic, key, pairs, value in messages:
        have = {name: text for name, text in pairs if sum(name == other for other, _ in pairs) == 1}
        one, salt = (have.get("dx-disclosure-id"), have.get("dx-version")), have.get("dx-salt", "")
        salted = (bytes.fromhex(salt) if re.fullmatch("[0-9a-f]{64}", salt) else b"") + value
        of = [entry for entry in told[one] if entry["commitment"] == "sha256:" + hashlib.sha256(salted).hexdigest()]
        if not told[one]:
            fault("unlogged", "", None, where, f"no entry of disclosure {one[0]} version {one[1]}")
            continue
        entry = next((entry for entry in of or told[one] if not entry["message"]), (of or told[one])[0])
        try:
            handling = json.dumps(json.loads(value)["terms"]["handling"], separators=(",", ":"), sort_keys=True,
                                  ensure_ascii=False)
        except BAD:
            handling = None
        have |= {"topic": topic, "key": key, "bytes": len(value)}
        wrong = [name for name, said in {**entry["said"], "dx-handling": handling}.items() if have.get(name) != said]
        if entry["stopped"]:
            fault("unlogged", *entry["place"], where, "its entry was taken back")
        elif not of or wrong:
            fault("other-message", *entry["place"], where, f"not as its entry says: {wrong or 'commitment'}")
        elif entry["message"]:
            fault("resent", *entry["place"], where, f"it is there already, at {entry['message']}")
        entry["message"] = entry["message"] or of and where
    for entry in entries:
        if entry["kind"] == "disclosed" and not entry["message"] and not entry["stopped"]:
            fault("undelivered", *entry["place"], "", "no message that it commits to is there")

parser = argparse.ArgumentParser(description="Checks a Sightline ledger and its messages.")
parser.add_argument("export", nargs="+", help="an export; - for standard input")
parser.add_argument("--entries-only", action="store_true", help="does not look at messages")
parser.add_argument("--heads", help="what was printed earlier, and kept elsewhere")
args = parser.parse_args()
heads = re.findall("^(.+): ([0-9]+) entries, head ([0-9a-f]{64})$", open(args.heads).read(), re.M) if args.heads else []
if args.heads and not heads:
    parser.error(f"{args.heads}: no line of it is a head")
heads = {name: (int(seq), digest) for name, seq, digest in heads}
everything = [record for path in args.export for record in records(path)]
ledger = [record for record in everything if record[1].endswith("ledger")]
chains = {name: [] for name in heads}
for entry in filter(None, (read_entry(where, key, value) for where, _, key, _, value in ledger)):
    chains.setdefault(entry["agreement"]["id"], []).append(entry)
chains = {name: check_chain(name, links, heads.get(name, (0, ""))) for name, links in sorted(chains.items())}
entries = [entry for chain in chains.values() for entry in chain]
audiences = {entry["output"]["topic"] for entry in entries}
messages = [record for record in everything if record[1] in audiences or not record[1].endswith("ledger")
            and "dx-disclosure-id" in dict(record[3]) and "sightline.error.code" not in dict(record[3])]
if not args.entries_only:
    check_messages(entries, messages)
heads = [f"{name}: {chain[-1]['seq']} entries, head {chain[-1]['hash']}" for name, chain in chains.items() if chain]
compared = "messages not compared" if args.entries_only else f"{len(messages)} messages"
verdict = "sound" if not faults else "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
print(*faults, *heads, f"{len(ledger)} entries, {compared}: {verdict}", sep="\n")
sys.exit(1 if faults else 0)
