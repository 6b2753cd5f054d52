# SPDX-License-Identifier: Apache-2.0
"""The table of configurations and datagrams that both programs are held to; test_interop.py runs it."""
import base64
import collections
import re
import struct

# name: of letters, digits and dashes; docs/differences.md names rows by it.
# document: the file; SERVER<n> in it is the address of a game server with its port.
# sent: (player, bytes) each, a player being the index of a port from FIRST_PORT on.
# answers: what a server answers to a datagram, a list.
# only_counts: whether which server got what is left to chance, so that only the numbers are compared.
# family: 4 or 6, of players.
# is_bad: whether a program must refuse the file.
Row = collections.namedtuple("Row", "name document sent answers only_counts family is_bad")
ROWS = []
FIRST_PORT = 2000
SERVERS = 3


def echo(data):
    return [data]


def filter_id(name):
    """quilkin.filters.token_router.v1alpha1.TokenRouter, for one; the hashed one is in the same package."""
    package = re.sub("(?<=[a-z])(?=[A-Z])", "_", name.removeprefix("Hashed")).lower()
    return f"quilkin.filters.{package}.v1alpha1.{name}"


def made(name, config=None, **more):
    """A filter; a config of None is none."""
    return {"name": filter_id(name), **({} if config is None else {"config": config}), **more}


def base(data):
    return base64.b64encode(data).decode()


def cluster(*tokens):
    """As many servers as lists of tokens; a number is so many servers without."""
    lists = [[] for _ in range(tokens[0])] if isinstance(tokens[0], int) else tokens
    return {"endpoints": [{"address": f"SERVER{i}", **({"metadata": {"quilkin.dev": {"tokens": [base(t) for t in own]}}} if own else {})}
                          for i, own in enumerate(lists)]}


def row(name, filters, sent, servers=(1,), answers=echo, only_counts=False, family=4):
    """sent: bytes are of player 0."""
    document = {"version": "v1alpha1", "clusters": [cluster(*servers)]}
    if filters is not None:
        document["filters"] = filters
    ROWS.append(Row(name, document, [item if isinstance(item, tuple) else (0, item) for item in sent], answers, only_counts, family, False))


def bad(name, filters=(), **document):
    """A file that is to be refused."""
    whole = {"version": "v1alpha1", "clusters": [cluster(1)], "filters": list(filters)} | document
    ROWS.append(Row(f"bad-{name}", whole, [], echo, False, 4, True))


def capture(part, size, remove=False, key=None):
    return made("Capture", {part: {"size": size, "remove": remove}, **({"metadataKey": key} if key else {})})


ROUTER = made("TokenRouter")
SOME = [b"", b"a", b"abc", b"abcd", bytes(range(256)), b"\xff" * 3]

# Without filters, and with those that do nothing or everything.
row("no-filters", None, SOME)
row("empty-chain", [], SOME)
row("no-filters-three-servers", None, SOME, (3,))
row("pass", [made("Pass")], SOME)
row("pass-null", [made("Pass") | {"config": None}], SOME)
row("pass-labelled", [made("Pass", label="a label")], SOME)
row("drop", [made("Drop")], SOME)
row("drop-behind-pass", [made("Pass"), made("Drop")], SOME)
row("pass-behind-drop", [made("Drop"), made("Pass")], SOME)
for size in (1, 64, 512, 1200, 1472, 1473, 2047, 2048, 2049, 4096, 9000, 40000, 65507):
    row(f"size-{size}", [], [bytes(i % 251 for i in range(size))])
row("sizes-in-turn", [], [bytes(n) for n in range(0, 2000, 97)])
row("players-apart", [], [(player, b"from %d" % player) for player in range(8)])
row("players-apart-ipv6", [], [(player, b"from %d" % player) for player in range(8)], family=6)
row("no-answers", [], SOME, answers=lambda data: [])
row("three-answers", [], [b"a", b"b"], answers=lambda data: [data + b"1", data + b"2", data + b"3"])
row("empty-answers", [], [b"a"], answers=lambda data: [b""])
row("long-answers", [], [b"a"], answers=lambda data: [bytes(1400)])
row("longer-answers", [], [b"a"], answers=lambda data: [bytes(9000)])

# Capture: by size.
for part in ("prefix", "suffix"):
    for size in (0, 1, 3, 16, 255):
        for remove in (False, True):
            row(f"capture-{part}-{size}{'-removed' if remove else ''}", [capture(part, size, remove)],
                [b"", b"a", b"abc", b"abcd", bytes(range(16)), bytes(range(17)), bytes(range(255)), bytes(1000)])
    row(f"capture-{part}-remove-left-out", [made("Capture", {part: {"size": 2}})], SOME)
row("capture-twice", [capture("prefix", 2, True, "one"), capture("prefix", 2, True, "two")], SOME)
row("capture-both-ends", [capture("prefix", 1, True, "one"), capture("suffix", 1, True, "two")], SOME)
row("capture-same-key-twice", [capture("prefix", 1), capture("suffix", 1), ROUTER], [b"ab", b"ba", b"bb"], ([b"a"], [b"b"]))
row("capture-answers-untouched", [capture("suffix", 3, True)], [b"abcdef"], answers=lambda data: [data + b"xyz"])

# Routers.
for router in ("TokenRouter", "HashedTokenRouter"):
    low = router.lower()
    for size in (1, 3, 8, 16, 17, 64, 200):
        one, other = bytes([1] * size), bytes([2] * size)
        row(f"{low}-{size}", [capture("suffix", size, True), made(router)], [b"x" + one, b"y" + other, b"z" + bytes(size), one], ([one], [other]))
    row(f"{low}-shared", [capture("prefix", 1), made(router)], [b"a1", b"b2", b"c3", b"d4"], ([b"a", b"c"], [b"b", b"c"], [b"c"]))
    row(f"{low}-of-another-length", [capture("prefix", 2), made(router)], [b"aa", b"ab", b"a"], ([b"a"],))
    row(f"{low}-without-capture", [made(router)], [b"a", b""], ([b"a"],))
    row(f"{low}-empty-config", [capture("prefix", 1), made(router, {})], [b"a", b"b"], ([b"a"],))
    row(f"{low}-own-key", [capture("prefix", 1, key="mine"), made(router, {"metadataKey": "mine"})], [b"a", b"b"], ([b"a"], [b"b"]))
    row(f"{low}-other-key", [capture("prefix", 1, key="mine"), made(router)], [b"a"], ([b"a"],))
    row(f"{low}-key-of-presence", [capture("prefix", 1), made(router, {"metadataKey": "quilkin.dev/capture/is_present"})], [b"a"], ([b"a"],))
    row(f"{low}-no-tokens", [capture("prefix", 1), made(router)], [b"a"], (2,))
    row(f"{low}-empty-token", [capture("prefix", 0), made(router)], [b"a", b""], ([b""], [b"a"]))
    row(f"{low}-many-tokens", [capture("prefix", 2, True), made(router)], [struct.pack(">H", n) + b"x" for n in range(0, 300, 7)],
        ([struct.pack(">H", n) for n in range(100)], [struct.pack(">H", n) for n in range(100, 200)]))
    row(f"{low}-then-concatenate", [capture("suffix", 1, True), made(router), made("Concatenate", {"on_read": "APPEND", "bytes": base(b"!")})],
        [b"1a", b"2b"], ([b"a"], [b"b"]))
row("two-routers", [capture("prefix", 1, False, "one"), capture("suffix", 1, False, "two"), made("TokenRouter", {"metadataKey": "one"}),
                    made("TokenRouter", {"metadataKey": "two"})], [b"ab", b"ba", b"ax", b"xa"], ([b"a"], [b"b"]))
row("router-before-capture", [ROUTER, capture("prefix", 1)], [b"a"], ([b"a"],))

# Capture by an expression; what it finds is told by Match: see regexes.py for many more.
for number, (pattern, data) in enumerate([(".{3}$", b"abcdef"), ("^abc", b"abcdef"), ("b+", b"abbbc"), ("x", b"abc"), ("a.c", b"a\nc"),
                                          ("(?-u)\\xff", b"a\xffb"), ("(?i)ABC", b"xabcx"), ("^$", b""), ("[0-9]+", b"token 42 here")]):
    row(f"capture-regex-{number}", [made("Capture", {"regex": {"pattern": pattern}})], [data, b"zzz", b""])
row("capture-regex-routes", [made("Capture", {"regex": {"pattern": "[0-9]+"}}), ROUTER], [b"to 17.", b"to 18.", b"to 19.", b"to no"], ([b"17"], [b"18"]))

# Concatenate.
for strategy in ("APPEND", "PREPEND", "DO_NOTHING"):
    low = strategy.lower().replace("_", "-")
    row(f"concatenate-read-{low}", [made("Concatenate", {"on_read": strategy, "bytes": base(b"+-")})], SOME)
    row(f"concatenate-write-{low}", [made("Concatenate", {"on_write": strategy, "bytes": base(b"+-")})], SOME)
    for other in ("APPEND", "PREPEND"):
        row(f"concatenate-read-{low}-write-{other.lower()}", [made("Concatenate", {"on_read": strategy, "on_write": other, "bytes": base(b"12")})], SOME)
row("concatenate-nothing", [made("Concatenate", {"on_read": "APPEND", "bytes": ""})], SOME)
row("concatenate-long", [made("Concatenate", {"on_read": "APPEND", "bytes": base(bytes(800))})], SOME)
row("concatenate-in-order", [made("Concatenate", {"on_read": "APPEND", "on_write": "APPEND", "bytes": base(b"1")}),
                             made("Concatenate", {"on_read": "APPEND", "on_write": "APPEND", "bytes": base(b"2")})], SOME)
row("concatenate-then-capture", [made("Concatenate", {"on_read": "APPEND", "bytes": base(b"t")}), capture("suffix", 1, True), ROUTER], [b"a", b""], ([b"t"],))
row("capture-then-concatenate", [capture("prefix", 3, True), made("Concatenate", {"on_read": "PREPEND", "bytes": base(b"XYZ")})], SOME)

# Firewall. Players are 10.99.0.1 and fd00:99::1, servers 127.0.0.x.
EVERYBODY = {"action": "ALLOW", "sources": ["0.0.0.0/0", "::/0"], "ports": ["0-65535"]}


def rule(action, source, *ports):
    return {"action": action, "sources": [source], "ports": list(ports)}


def firewall(*rules, on_write=(EVERYBODY,)):
    return [made("Firewall", {"on_read": list(rules), "on_write": list(on_write)})]


PLAYERS = [(player, b"%d" % player) for player in range(4)]
for name, rules in {
        "nobody": [], "everybody": [EVERYBODY], "deny-everybody": [rule("DENY", "0.0.0.0/0", "0-65535")],
        "port": [rule("ALLOW", "10.99.0.0/24", "2001")], "port-number": [rule("ALLOW", "10.99.0.0/24", 2001)],
        "range": [rule("ALLOW", "10.99.0.0/24", "2001-2003")], "range-ends-before": [rule("ALLOW", "10.99.0.0/24", "1000-2001")],
        "range-of-one": [rule("ALLOW", "10.99.0.0/24", "2002-2003")], "two-ports": [rule("ALLOW", "10.99.0.0/24", "2000", "2003")],
        "no-ports": [rule("ALLOW", "10.99.0.0/24")], "another-net": [rule("ALLOW", "10.98.0.0/24", "0-65535")],
        "no-sources": [{"action": "ALLOW", "sources": [], "ports": ["0-65535"]}],
        "host": [rule("ALLOW", "10.99.0.1/32", "0-65535")], "host-without-mask": [rule("ALLOW", "10.99.0.1", "0-65535")],
        "host-bits": [rule("ALLOW", "10.99.0.77/24", "0-65535")], "wide": [rule("ALLOW", "0.0.0.0/0", "0-65535")],
        "ipv6-has-no-ipv4": [rule("ALLOW", "::/0", "0-65535")], "mapped-prefix": [rule("ALLOW", "::ffff:0:0/96", "0-65535")],
        "first-decides-deny": [rule("DENY", "10.99.0.1/32", "2001"), EVERYBODY], "first-decides-allow": [rule("ALLOW", "10.0.0.0/8", "2001"),
                                                                                                        rule("DENY", "10.0.0.0/8", "0-65535")],
        "two-sources": [{"action": "ALLOW", "sources": ["192.0.2.0/24", "10.99.0.0/16"], "ports": ["2000-2002"]}],
        "by-bits": [rule("ALLOW", "10.99.0.0/31", "0-65535")], "by-bits-beside": [rule("ALLOW", "10.99.0.2/31", "0-65535")]}.items():
    row(f"firewall-{name}", firewall(*rules), PLAYERS)
for name, rules in {
        "everybody": [EVERYBODY], "net": [rule("ALLOW", "fd00:99::/64", "0-65535")], "host": [rule("ALLOW", "fd00:99::1/128", "0-65535")],
        "another": [rule("ALLOW", "fd00:98::/64", "0-65535")], "ipv4-has-no-ipv6": [rule("ALLOW", "0.0.0.0/0", "0-65535")],
        "bits": [rule("ALLOW", "fd00:98::/15", "0-65535")], "port": [rule("ALLOW", "::/0", "2002")]}.items():
    row(f"firewall6-{name}", firewall(*rules), PLAYERS, family=6)
for name, rules in {"nobody": [], "servers": [rule("ALLOW", "127.0.0.0/8", "0-65535")], "deny-servers": [rule("DENY", "127.0.0.0/8", "0-65535"), EVERYBODY],
                    "port": [rule("ALLOW", "0.0.0.0/0", "7001")], "players": [rule("ALLOW", "10.99.0.0/24", "0-65535")]}.items():
    row(f"firewall-write-{name}", firewall(EVERYBODY, on_write=rules), PLAYERS, (2,))

# LocalRateLimit: what a burst has left.
for limit in (0, 1, 2, 5, 20):
    row(f"limit-{limit}", [made("LocalRateLimit", {"max_packets": limit, "period": 60})], [b"%d" % n for n in range(15)])
row("limit-by-player", [made("LocalRateLimit", {"max_packets": 2, "period": 60})], [(n % 3, b"%d" % n) for n in range(12)])
row("limit-answers-pass", [made("LocalRateLimit", {"max_packets": 1, "period": 60})], [b"a", b"b"], answers=lambda data: [data] * 5)
row("limit-twice", [made("LocalRateLimit", {"max_packets": 4, "period": 60}), made("LocalRateLimit", {"max_packets": 2, "period": 60})],
    [b"%d" % n for n in range(6)])
row("limit-counts-what-is-dropped-later", [made("LocalRateLimit", {"max_packets": 2, "period": 60}), capture("prefix", 2)], [b"a", b"ab", b"ab", b"ab"])

# Match.
MINE = {"metadataKey": "quilkin.dev/capture"}


def tagged(text):
    return {"name": filter_id("Concatenate"), "config": {"on_read": "APPEND", "on_write": "APPEND", "bytes": base(text)}}


def matching(branches, fallthrough=None, key="quilkin.dev/capture", side="on_read"):
    return made("Match", {side: {"metadataKey": key, "branches": [{"value": value} | chosen for value, chosen in branches],
                                 **({"fallthrough": fallthrough} if fallthrough else {})}})


PASS, DROP = {"name": filter_id("Pass")}, {"name": filter_id("Drop")}
WORDS = [b"abc1", b"abc", b"xyz2", b"abd3", b"ab"]
row("match-text", [capture("prefix", 3), matching([("abc", PASS)])], WORDS)
row("match-text-concatenates", [capture("prefix", 3), matching([("abc", tagged(b"<1>")), ("xyz", tagged(b"<2>"))])], WORDS)
row("match-fallthrough-passes", [capture("prefix", 3), matching([("abc", DROP)], PASS)], WORDS)
row("match-fallthrough-concatenates", [capture("prefix", 3), matching([("abc", PASS)], tagged(b"<else>"))], WORDS)
row("match-first-branch", [capture("prefix", 3), matching([("abc", tagged(b"<1>")), ("abc", tagged(b"<2>"))])], WORDS)
row("match-no-branches", [capture("prefix", 3), matching([], PASS)], WORDS)
row("match-no-branches-default", [capture("prefix", 3), matching([])], WORDS)
row("match-without-metadata", [matching([("abc", PASS)], PASS)], WORDS)
row("match-presence", [capture("prefix", 3), matching([(True, tagged(b"<true>"))], key="quilkin.dev/capture/is_present")], WORDS)
row("match-presence-false", [capture("prefix", 3), matching([(False, PASS)], PASS, key="quilkin.dev/capture/is_present")], WORDS)
row("match-bool-is-no-text", [capture("prefix", 3), matching([("true", DROP)], PASS, key="quilkin.dev/capture/is_present")], WORDS)
row("match-number-is-a-byte", [capture("prefix", 1), matching([(7, tagged(b"<7>"))], PASS)], [b"\x07", b"7", b"\x00\x07"])
row("match-number-is-no-text", [capture("prefix", 1), matching([(7, DROP)], PASS)], [b"7"])
row("match-bytes", [capture("prefix", 2), matching([([255, 0], tagged(b"<ff00>"))], PASS)], [b"\xff\x00", b"\x00\xff"])
row("match-empty-text", [capture("prefix", 0), matching([("", tagged(b"<empty>"))])], [b"a", b""])
row("match-unicode", [capture("prefix", 2), matching([("ä", tagged(b"<ae>"))], PASS)], ["äx".encode(), b"aex"])
row("match-on-write-without-metadata", [matching([("abc", PASS)], PASS, side="on_write")], [b"abc"])
row("match-within-match", [capture("prefix", 1, False, "one"), capture("suffix", 1, False, "two"),
                           matching([("a", {"name": filter_id("Match"), "config": {"on_read": {"metadataKey": "two", "branches": [
                               {"value": "z"} | tagged(b"<az>")], "fallthrough": tagged(b"<a?>")}}})], tagged(b"<?>"), key="one")],
    [b"az", b"ab", b"bz", b"a"])
row("match-runs-capture", [capture("prefix", 1, True, "kind"), matching([("t", {"name": filter_id("Capture"), "config": {"suffix": {"size": 1, "remove": True}}})],
                                                                        PASS, key="kind"), ROUTER],
    [b"t1a", b"t1b", b"u1a"], ([b"a"], [b"b"]))
row("match-runs-router", [capture("prefix", 1), matching([("a", {"name": filter_id("TokenRouter")})], DROP)], [b"a1", b"b1"], ([b"a"], [b"b"]))
row("match-runs-limit", [capture("prefix", 1), matching([("a", {"name": filter_id("LocalRateLimit"), "config": {"max_packets": 2, "period": 60}})], PASS)],
    [b"a1", b"a2", b"a3", b"b4", b"b5", b"b6"])

# Timestamp and Debug change nothing.
NOW = struct.pack(">Q", 1700000000)
row("timestamp", [capture("prefix", 8, True, "time"), made("Timestamp", {"metadataKey": "time"})], [NOW + b"a", bytes(8), b"\xff" * 8, b"short"])
row("timestamp-other-length", [capture("prefix", 4, True, "time"), made("Timestamp", {"metadataKey": "time"})], [b"1234a"])
row("timestamp-without-metadata", [made("Timestamp", {"metadataKey": "time"})], SOME)
row("debug", [made("Debug", {"id": "x"})], SOME)

# LoadBalancer: what does not depend on chance.
for policy in ("ROUND_ROBIN", "RANDOM", "HASH"):
    row(f"balancer-{policy.lower().replace('_', '-')}-one", [made("LoadBalancer", {"policy": policy})], SOME)
row("balancer-round-robin", [made("LoadBalancer", {"policy": "ROUND_ROBIN"})], [b"%d" % n for n in range(12)], (3,), only_counts=True)
row("balancer-default", [made("LoadBalancer", {})], [b"%d" % n for n in range(12)], (3,), only_counts=True)
row("balancer-hash-stays", [made("LoadBalancer", {"policy": "HASH"})], [b"%d" % n for n in range(9)], (3,), only_counts=True)
row("balancer-behind-router", [capture("prefix", 1), ROUTER, made("LoadBalancer", {"policy": "ROUND_ROBIN"})], [b"a"] * 6, ([b"a"], [b"a"], [b"b"]),
    only_counts=True)

# Files that are refused.
bad("filter-unknown", [made("NoSuchFilter")])
bad("filter-name-missing", [{"config": {}}])
bad("filters-a-map", filters={"a": 1})
bad("capture-no-config", [made("Capture")])
bad("capture-empty-config", [made("Capture", {})])
bad("capture-size-missing", [made("Capture", {"prefix": {}})])
bad("capture-size-negative", [made("Capture", {"prefix": {"size": -1}})])
bad("capture-size-text", [made("Capture", {"prefix": {"size": "many"}})])
bad("capture-two-parts", [made("Capture", {"prefix": {"size": 1}, "suffix": {"size": 1}})])
bad("capture-regex-open", [made("Capture", {"regex": {"pattern": "("}})])
bad("capture-regex-behind", [made("Capture", {"regex": {"pattern": "(?<=a)b"}})])
bad("capture-regex-back", [made("Capture", {"regex": {"pattern": "(a)\\1"}})])
bad("capture-remove-text", [made("Capture", {"prefix": {"size": 1, "remove": "perhaps"}})])
bad("router-unknown-key", [made("TokenRouter", {"metadata_key": "x"})])
bad("router-key-a-list", [made("TokenRouter", {"metadataKey": []})])
bad("balancer-no-config", [made("LoadBalancer")])
bad("balancer-policy", [made("LoadBalancer", {"policy": "BEST"})])
bad("firewall-no-config", [made("Firewall")])
bad("firewall-on-write-missing", [made("Firewall", {"on_read": []})])
bad("firewall-action", [made("Firewall", {"on_read": [rule("MAYBE", "0.0.0.0/0", "1")], "on_write": []})])
bad("firewall-source", [made("Firewall", {"on_read": [rule("ALLOW", "everywhere", "1")], "on_write": []})])
bad("firewall-mask", [made("Firewall", {"on_read": [rule("ALLOW", "10.0.0.0/33", "1")], "on_write": []})])
bad("firewall-port", [made("Firewall", {"on_read": [rule("ALLOW", "0.0.0.0/0", "65536")], "on_write": []})])
bad("firewall-range-reversed", [made("Firewall", {"on_read": [rule("ALLOW", "0.0.0.0/0", "20-10")], "on_write": []})])
bad("firewall-range-empty", [made("Firewall", {"on_read": [rule("ALLOW", "0.0.0.0/0", "10-10")], "on_write": []})])
bad("firewall-ports-missing", [made("Firewall", {"on_read": [{"action": "ALLOW", "sources": ["0.0.0.0/0"]}], "on_write": []})])
bad("limit-period-missing", [made("LocalRateLimit", {"max_packets": 1})])
bad("limit-period-zero", [made("LocalRateLimit", {"max_packets": 1, "period": 0})])
bad("limit-packets-missing", [made("LocalRateLimit", {"period": 1})])
bad("limit-packets-negative", [made("LocalRateLimit", {"max_packets": -1, "period": 1})])
bad("concatenate-no-bytes", [made("Concatenate", {"on_read": "APPEND"})])
bad("concatenate-no-side", [made("Concatenate", {"bytes": base(b"a")})])
bad("concatenate-strategy", [made("Concatenate", {"on_read": "append", "bytes": base(b"a")})])
bad("concatenate-bytes", [made("Concatenate", {"on_read": "APPEND", "bytes": "no base64!"})])
bad("match-no-config", [made("Match")])
bad("match-no-side", [made("Match", {})])
bad("match-no-branches", [made("Match", {"on_read": {"metadataKey": "a"}})])
bad("match-inner-filter", [made("Match", {"on_read": {"metadataKey": "a", "branches": [{"value": "a", "name": "none"}]}})])
bad("timestamp-no-key", [made("Timestamp", {})])
bad("drop-config", [made("Drop", {})])
bad("pass-config", [made("Pass", {})])
bad("address-without-port", clusters=[{"endpoints": [{"address": "127.0.0.1"}]}])
bad("address-port-range", clusters=[{"endpoints": [{"address": "127.0.0.1:65536"}]}])
bad("address-missing", clusters=[{"endpoints": [{}]}])
bad("endpoints-missing", clusters=[{}])
bad("token-base64", clusters=[{"endpoints": [{"address": "SERVER0", "metadata": {"quilkin.dev": {"tokens": ["?"]}}}]}])
bad("token-twice", clusters=[{"endpoints": [{"address": "SERVER0", "metadata": {"quilkin.dev": {"tokens": ["YQ==", "YQ=="]}}}]}])
bad("locality-four-parts", clusters=[{"locality": "a:b:c:d", "endpoints": []}])
bad("version", version="v2")
bad("unknown-key", surplus=1)
