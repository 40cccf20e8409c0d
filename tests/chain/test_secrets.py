"""Secrets in the place of an address or of a setting's text: every form is recognized, no address and no setting is."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.address import address_in, without_uri
from solominer.chain.secrets import secret_kind
from solominer.errors import PayoutError

B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"
MINI = "S6c56bnXQiBjk9mqSYE7ykVQ7NzrRy"
XPRV = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
WIF = "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"
SECRETS = [
    WIF,
    "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",
    "KwDiBf89QgGbjEhKnhXJuH7LrciVrGi3qYjgd9M7rFU73sVHnoWn",
    "L1aW4aubDFB7yfras2S1mN3bqg9nwySY8nkoLmJebSLD5BWv3ENZ",
    "92Pg46rUhgTT7romnV7iGW6W1gbGdeezqdbJCzShkCsYNzyyNcc",
    WIF[:30] + " " + WIF[30:],
    WIF[:-1] + "x",  # mistyped
    XPRV,
    *(prefix + XPRV[1:] for prefix in ("t", "y", "z", "Y", "Z", "u", "v")),
    f"wpkh([d34db33f/84h/0h/0h]{XPRV}/0/*)#abcdefgh",
    f"pkh({WIF})",
    "6PRVWUbkzzsbcVac2qwfssoUJAN1Xhrg6bNk8J7Nzm5H7kxEbn2Nh2ZoGg",
    "ms10testsxxxxxxxxxxxxxxxxxxxxxxxxxx4nzvca9cmczlw",
    "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
    WORDS,
    WORDS.upper(),
    WORDS.replace(" ", ", "),
    " ".join(f"{number}. {word}" for number, word in enumerate(WORDS.split(), 1)),
    " ".join([WORDS] * 2),
    *(" ".join((WORDS + " " + WORDS).split()[:count]) for count in (15, 18, 21)),
    "-----BEGIN PRIVATE KEY-----",
    "__cookie__:0123456789abcdef",
    "http://user:pass@127.0.0.1",
    "user:pass@127.0.0.1",
    MINI,
    "0c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d72aa1d",
]
ONLY_AS_ADDRESS = [
    "0x0c28fca386c7a227600b2fe50b7cae11",
    MINI[:-1] + "z",
    "DCj8o4bHoidgCy/lC3yuEeyG078fvkcb6JgnGdcqDR0=",
    "eins sechs zwei drei vier fuenf sechs sieben acht neun zehn elf zwoelftausend",
]
ADDRESSES = [
    "1BShJZ8A5q53oJJfMJoEF1gfZCWdZqZwwD",
    "3L1YkZjdeNSqaZcNKZFXQfyokx3zVYm7r6",
    "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPT",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    "bcrt1pfeesnyr2tx",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_every_form_is_recognized(secret: str) -> None:
    assert secret_kind(secret)
    assert secret_kind(f" {secret}\n", as_address=True)


@pytest.mark.parametrize("secret", SECRETS + ONLY_AS_ADDRESS)
def test_none_is_taken_for_an_address_or_repeated(secret: str) -> None:
    with pytest.raises(PayoutError, match="is a secret, not an address") as caught:
        address_in(secret)
    assert secret not in str(caught.value)
    assert secret.split()[0] not in str(caught.value).split()


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_pass(address: str) -> None:
    assert address_in(f" {address}\n") == address
    assert secret_kind(address) == ""


@pytest.mark.parametrize(
    "text",
    [
        "/solominer/",
        "mined at home by us three in the old red barn",
        "127.0.0.1:8332",
        "bitcoind.example.org",
        "22:00-06:00",
        "/var/lib/docker/volumes/" + "0c28fca386c7a227" * 4 + "/_data",
        "/home/user/this/that/other/than/what/must/have/been/some/long/path/here",
        "SolominerNodeNumberTwoInBerlin",
        "your own address on this network",
    ],
)
def test_ordinary_settings_are_no_secrets(text: str) -> None:
    assert secret_kind(text, may_be_hash=True) == ""


@pytest.mark.parametrize("prefix", ["bitcoin:", "BITCOIN:", "bitcoin://"])
@pytest.mark.parametrize("suffix", ["", "?amount=0.1&label=me"])
def test_a_bitcoin_uri_is_understood(prefix: str, suffix: str) -> None:
    assert address_in(prefix + ADDRESSES[3] + suffix) == ADDRESSES[3]
    with pytest.raises(PayoutError, match="secret"):
        address_in(prefix + WIF + suffix)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("xpub" + XPRV[4:], "extended public key"),
        ("me@example.org", "Lightning"),
        ("lnbc1p" + "q" * 50, "Lightning"),
        ("bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", "another coin"),
        ("ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "another coin"),
        ("hunter2", "form of an address"),
        ("", "form of an address"),
    ],
)
def test_what_is_no_address_is_refused_without_the_value(text: str, why: str) -> None:
    with pytest.raises(PayoutError, match=why) as caught:
        address_in(text)
    assert not text or text not in str(caught.value)


@given(st.sampled_from("5KL9c"), st.text(B58, min_size=50, max_size=51))
def test_no_private_key_is_ever_an_address(first: str, rest: str) -> None:
    with pytest.raises(PayoutError):
        address_in(first + rest)


@given(st.text(B58, min_size=21, max_size=29).map(lambda text: "S" + text))
def test_a_mini_key_is_known_by_its_own_check(text: str) -> None:
    holds = len(text) in (22, 26, 30) and sha256(f"{text}?".encode()).digest()[0] == 0
    assert bool(secret_kind(text)) == holds
    assert secret_kind(text, as_address=True)


@given(st.text())
def test_any_text_is_judged_and_never_repeated(text: str) -> None:
    secret_kind(text)
    without_uri(text)
    said = ""
    try:
        assert re.fullmatch("[0-9A-Za-z]+", address_in(text))
    except PayoutError as error:
        said = str(error)
    assert len(text) < 8 or text not in said
