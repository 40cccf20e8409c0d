"""Recognizes secrets entered in the wrong place (private keys, seeds, logins) by their form.

By form, not by checksum, as a mistyped key is secret too. The text is never quoted.
"""

from __future__ import annotations

import re

_B58 = "[1-9A-HJ-NP-Za-km-z]"
LOGIN = "a login"
_FORMS = (
    ("a private key (WIF)", rf"[59KLc]{_B58}{{49,52}}"),
    ("an extended private key", r"[xyzuvtYZUV]prv[0-9A-Za-z]{20,}"),
    ("an encrypted private key (BIP 38)", rf"6P{_B58}{{54,58}}"),
    ("a wallet's seed (codex32)", r"[mM][sS]1[0-9a-zA-Z]{40,}"),
    ("a Nostr private key", r"(?i:n(?:crypt)?sec1[0-9a-z]{50,})"),
    ("an age key", r"(?i:AGE-SECRET-KEY-1[0-9A-Z]{50,})"),
)
_TOKENS = tuple((kind, re.compile(rf"(?<![0-9A-Za-z]){form}(?![0-9A-Za-z])")) for kind, form in _FORMS)
_ANYWHERE = (
    ("a private key (PEM)", re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")),
    ("a node's cookie", re.compile(r"__cookie__:")),
    (LOGIN, re.compile(r"(?:^\s*|//)[^/@\s:]*:[^/@\s]*@\S")),
)
_MINI = re.compile(rf"(?<![0-9A-Za-z])S(?:{_B58}{{21}}|{_B58}{{25}}|{_B58}{{29}})(?![0-9A-Za-z])")
_RAW = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}")
_AS_ADDRESS = (
    ("a private key in hexadecimal digits", re.compile(r"(?:0[xX])?[0-9a-fA-F]{32,}")),
    ("a mini private key", re.compile(rf"S{_B58}{{20,30}}")),
    ("a private key (Base64)", re.compile(r"[A-Za-z0-9+/]{43}=")),
)
_V2_SCHEME = "stratum2+tcp://"
_V2_KEY_BEGIN = "9"
_LEAST_WORDS = 12
_SEED_PHRASE = "a wallet's seed phrase"


def secret_kind(text: str, *, as_address: bool = False, may_be_hash: bool = False) -> str:
    """A description of the secret in `text`, or "".

    `as_address`: it was entered as an address, where anything that may be a key counts as one. `may_be_hash`: 64 hex
    digits are normal there, as in a path or a host name.
    """
    text = _without_authority_key(text)
    compact = "".join(text.split())
    for kind, pattern in _TOKENS:
        if pattern.search(text) or pattern.search(compact):
            return kind
    for kind, pattern in _ANYWHERE:
        if pattern.search(text):
            return kind
    if any(_is_mini_key(match[0]) for match in _MINI.finditer(text)):
        return "a mini private key"
    if as_address:
        for kind, pattern in _AS_ADDRESS:
            if pattern.fullmatch(compact):
                return kind
    elif not may_be_hash and _RAW.fullmatch(compact):
        return "a private key in hexadecimal digits"
    return _SEED_PHRASE if _is_seed_phrase(text, as_address=as_address, may_be_path=may_be_hash) else ""


def _without_authority_key(text: str) -> str:
    """A Stratum V2 URL without its authority key, mistyped or not.

    It is public, but has the form of a private key (WIF) of a test network, whose coins have no value.
    """
    url, _, key = text.rstrip("/").rpartition("/")
    return url if _V2_SCHEME in text.lower() and key.startswith(_V2_KEY_BEGIN) else text


def _is_mini_key(text: str) -> bool:
    """Whether its checksum is valid (Casascius mini key); 1 of 256 other texts passes by chance."""
    from hashlib import sha256  # every command reads this module at its start

    return sha256(text.encode() + b"?").digest()[0] == 0


def _is_seed_phrase(text: str, *, as_address: bool, may_be_path: bool) -> bool:
    """At least twelve words of three to eight letters (BIP 39), and nothing else except numbers."""
    parts = re.split(r"\s+" if may_be_path else r"[\s,;.:()_-]+", text)
    words = [part for part in parts if part and not part.isdecimal()]
    if len(words) < _LEAST_WORDS or not all(map(str.isalpha, words)):
        return False
    return as_address or all(3 <= len(word) <= 8 for word in words)
