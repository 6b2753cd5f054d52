# SPDX-License-Identifier: Apache-2.0
"""Expressions and datagrams, held against the reference by Capture and Match: a datagram begins with the letter of its expression, and what it
ends with at the server says which of the expected values was captured."""
from rows import Row, cluster, echo, filter_id, made, tagged

# An expression, and for each datagram what it captures; None: it is dropped; MANY: several values, or one that a file cannot have, so that Match
# finds it equal to none.
MANY = object()
CORPUS = [
    ("abc", [(b"abc", "abc"), (b"xabcx", "abc"), (b"ab", None), (b"ABC", None), (b"abcabc", MANY)]),
    ("a|b", [(b"a", "a"), (b"xb", "b"), (b"c", None), (b"ab", MANY)]),
    ("ab|a", [(b"ab", "ab"), (b"ac", "a")]),
    ("a|ab", [(b"ab", "a")]),
    ("^a", [(b"ab", "a"), (b"ba", None), (b"b\na", None)]),
    ("(?m)^a", [(b"b\na", "a"), (b"ba", None)]),
    ("a$", [(b"ba", "a"), (b"ab", None), (b"a\n", None)]),
    ("(?m)a$", [(b"a\nb", "a"), (b"ab", None)]),
    ("\\Aab\\z", [(b"ab", "ab"), (b"ab\n", None), (b"xab", None)]),
    (".", [(b"x", "x"), (b"\n", None), (b"\xff", None), ("ä".encode(), "ä")]),
    ("(?s).", [(b"\n", "\n"), (b"\xff", None)]),
    ("a.c", [(b"abc", "abc"), (b"a\nc", None), (b"a\xffc", None), ("aäc".encode(), "aäc"), ("a€c".encode(), "a€c")]),
    ("(?-u)a.c", [(b"abc", "abc"), (b"a\nc", None), ("aäc".encode(), None)]),
    ("\\xe4", [("ä".encode(), "ä"), (b"\xe4", None)]),
    ("\\u{20ac}", [("€".encode(), "€"), (b"E", None)]),
    ("\\x{41}", [(b"A", "A"), (b"a", None)]),
    ("a*b", [(b"aaab", "aaab"), (b"b", "b"), (b"aaa", None)]),
    ("a+", [(b"aaa", "aaa"), (b"xaay", "aa"), (b"", None), (b"aba", MANY)]),
    ("ab?c", [(b"ac", "ac"), (b"abc", "abc"), (b"abbc", None)]),
    ("a{3}", [(b"aaa", "aaa"), (b"aa", None), (b"aaaa", "aaa"), (b"aaaaaa", MANY)]),
    ("a{2,}", [(b"a", None), (b"aaaaa", "aaaaa")]),
    ("a{2,3}", [(b"aa", "aa"), (b"aaaa", "aaa")]),
    ("a{0}b", [(b"b", "b"), (b"ab", "b")]),
    ("a+?", [(b"a", "a"), (b"aa", MANY)]),
    ("^a+?b", [(b"aab", "aab")]),
    ("(?U)^a+", [(b"aaa", "a")]),
    ("<.*>", [(b"<a><b>", "<a><b>"), (b"<>", "<>"), (b"<", None)]),
    ("<.*?>", [(b"<a>", "<a>"), (b"<a><b>", MANY)]),
    ("[abc]+", [(b"cab", "cab"), (b"xyz", None)]),
    ("[^abc]+", [(b"xyz", "xyz"), (b"abc", None), ("aäb".encode(), "ä")]),
    ("[a-f0-9]{4}", [(b"-12ef-", "12ef"), (b"12eg", None)]),
    ("[a\\-z]+", [(b"-", "-"), (b"m", None)]),
    ("[]a]+", [(b"]a", "]a"), (b"b", None)]),
    ("[\\]]", [(b"]", "]")]),
    ("[[:alpha:]]+", [(b"12abc34", "abc"), ("ä".encode(), None)]),
    ("[[:digit:]]+", [(b"a12", "12")]),
    ("[[:^digit:]]+", [(b"12ab", "ab")]),
    ("\\d+", [(b"id 42", "42"), (b"none", None), ("٣".encode(), "٣")]),
    ("(?-u)\\d+", [(b"id 42", "42"), ("٣".encode(), None)]),
    ("\\D+", [(b"12ab34", "ab")]),
    ("\\w+", [(b"--word_1--", "word_1"), ("ä".encode(), "ä"), (b"-", None)]),
    ("\\W", [(b"a-b", "-"), (b"ab", None)]),
    ("\\s", [(b"a b", " "), (b"a\tb", "\t"), (b"ab", None), ("a\u00a0b".encode(), "\u00a0")]),
    ("\\S+", [(b" ab ", "ab")]),
    ("\\bcat\\b", [(b"a cat!", "cat"), (b"concat", None), (b"cats", None)]),
    ("\\Bat", [(b"cat", "at"), (b"at", None)]),
    ("\\pL+", [("12äb34".encode(), "äb"), (b"12", None)]),
    ("\\p{Greek}+", [("aλμb".encode(), "λμ"), (b"ab", None)]),
    ("\\P{L}+", [(b"ab12cd", "12")]),
    ("(?i)abc", [(b"aBc", "aBc"), (b"abd", None)]),
    ("(?i)ä", [("Ä".encode(), "Ä")]),
    ("(?i:a)b", [(b"Ab", "Ab"), (b"AB", None)]),
    ("(?x) a b # comment", [(b"ab", "ab"), (b"a b", None)]),
    ("(a)(b)", [(b"ab", "ab")]),
    ("(?P<name>a)b", [(b"ab", "ab")]),
    ("(?<name>a)b", [(b"ab", "ab")]),
    ("(?:a|b)c", [(b"bc", "bc"), (b"c", None)]),
    ("(ab)+", [(b"xababx", "abab")]),
    ("a\\.b", [(b"a.b", "a.b"), (b"axb", None)]),
    ("\\$\\^\\*", [(b"$^*", "$^*")]),
    ("\\t\\n\\r", [(b"\t\n\r", "\t\n\r")]),
    ("\\x00", [(b"a\x00b", MANY)]),
    ("^$", [(b"", ""), (b"a", None)]),
    ("x*$", [(b"", "")]),
    ("token=([^;]*)", [(b"a;token=abc;b", "token=abc"), (b"a", None)]),
    ("[a-z]+@[a-z]+", [(b"to me@here now", "me@here")]),
]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
PER_ROW = 20
# What neither of them takes, each a file of its own.
REFUSED = {"open-group": "(a", "open-class": "[a", "nothing-to-repeat": "*a", "reversed-counts": "a{3,2}", "reversed-range": "[z-a]", "ahead": "a(?=b)",
           "not-ahead": "a(?!b)", "not-behind": "(?<!a)b", "back-reference": "(a)\\1", "atomic": "(?>a)", "unknown-escape": "\\y",
           "unknown-property": "\\p{Nonsense}", "same-name": "(?P<a>x)(?P<a>y)", "unknown-flag": "(?z)a", "recursion": "(a(?R)?b)", "possessive-group": "(?|a|b)",
           "trailing-backslash": "a\\"}


def rows_of(corpus):
    for start in range(0, len(corpus), PER_ROW):
        part = list(zip(LETTERS, corpus[start:start + PER_ROW]))
        values = sorted({value for _, (_, pairs) in part for _, value in pairs if isinstance(value, str)})
        chain = [made("Capture", {"metadataKey": "letter", "prefix": {"size": 1, "remove": True}}),
                 made("Match", {"on_read": {"metadataKey": "letter", "branches": [
                     {"value": letter, "name": filter_id("Capture"), "config": {"regex": {"pattern": pattern}}} for letter, (pattern, _) in part]}}),
                 made("Match", {"on_read": {"metadataKey": "quilkin.dev/capture", "branches": [
                     {"value": value} | tagged(b"<%d>" % i) for i, value in enumerate(values)], "fallthrough": tagged(b"<none>")}})]
        sent = [(0, letter.encode() + data) for letter, (_, pairs) in part for data, _ in pairs]
        document = {"version": "v1alpha1", "clusters": [cluster(1)], "filters": chain}
        yield Row(f"regex-{start}-to-{start + len(part) - 1}", document, sent, echo, False, 4, False), \
            [(data, values.index(value) if isinstance(value, str) else value) for _, (_, pairs) in part for data, value in pairs]


EXPECTED = {row.name: pairs for row, pairs in rows_of(CORPUS)}
REGEX_ROWS = [row for row, _ in rows_of(CORPUS)] + [
    Row(f"bad-regex-{name}", {"version": "v1alpha1", "clusters": [cluster(1)], "filters": [made("Capture", {"regex": {"pattern": pattern}})]}, [], echo,
        False, 4, True) for name, pattern in REFUSED.items()]
