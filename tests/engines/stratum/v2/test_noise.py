"""The handshake: vectors, a transcript computed by hand, and that nothing can be changed, cut or pretended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.encode_address import base58check, from_base58check
from solominer.engines.stratum.v2 import curve
from solominer.engines.stratum.v2.certificate import Certificate, key_text, parse_key
from solominer.engines.stratum.v2.curve import Keypair, keypair
from solominer.engines.stratum.v2.noise import ACT1_BYTES, ACT2_BYTES, Cipher, Ciphers, Initiator, respond
from solominer.errors import BadValue, Truncated
from tests.data import load
from tests.engines.stratum.v2 import by_hand

NOW = 1_800_000_000
AUTHORITY = hashlib.sha256(b"authority").digest()
STATIC = keypair(hashlib.sha256(b"static").digest(), bytes(32))
VECTORS = load("bip324_ecdh")


def certificate(valid_from: int = NOW - 10, not_valid_after: int = NOW + 10, authority: bytes = AUTHORITY) -> bytes:
    return Certificate.sign(authority, curve.x_of(STATIC.encoded), valid_from, not_valid_after).pack()


def shake(
    change: Callable[[bytes], bytes] = bytes, *, message: bytes = b"", now: float = NOW, key: bytes = b""
) -> tuple[Ciphers, Ciphers]:
    initiator = Initiator()
    act2, server = respond(initiator.act1, STATIC, message or certificate())
    return initiator.finish(change(act2), key or curve.public_x(AUTHORITY), now), server


@pytest.mark.parametrize("vector", VECTORS)
def test_the_vectors_of_bip_324(vector: dict[str, str]) -> None:
    secret, ours, theirs = (bytes.fromhex(vector[name]) for name in ("secret", "ours", "theirs"))
    assert curve.x_of(ours).hex() == curve.public_x(secret).hex() == vector["x_ours"]
    initiating = bool(vector["initiating"])
    assert curve.shared_secret(Keypair(secret, ours), theirs, initiating=initiating).hex() == vector["shared"]
    pair = (ours, theirs) if initiating else (theirs, ours)
    assert by_hand.ecdh(secret, theirs, *pair).hex() == vector["shared"]


def test_the_vector_of_rfc_8439() -> None:
    """Section 2.8.2, whose nonce has a part that is no counter."""
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    associated, nonce = bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), bytes.fromhex("070000004041424344454647")
    sealed = Cipher(bytes(range(0x80, 0xA0)))._aead.encrypt(nonce, plain, associated)
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_the_nonce_is_a_counter_in_the_last_eight_bytes() -> None:
    cipher, aead = Cipher(bytes(32)), ChaCha20Poly1305(bytes(32))
    assert [cipher.encrypt(b"x") for _ in range(3)] == [
        aead.encrypt(bytes(4) + count.to_bytes(8, "little"), b"x", None) for count in range(3)
    ]


def test_the_specifications_authority_key() -> None:
    raw = bytes.fromhex("76637000979c1c11af0c300bcd8c7fe48610fce9b9c11e3daee35ae0b08a7455")
    text = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh"
    assert key_text(raw) == text
    assert parse_key(text) == raw


@pytest.mark.parametrize(
    "text", ["", "1", "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXg", "0OIl", "z" * 4000, "é"]
)
def test_what_is_no_authority_key_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="no authority key"):
        parse_key(text)


def test_an_address_is_no_authority_key() -> None:
    with pytest.raises(BadValue, match="no authority key of Stratum V2"):
        parse_key("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2")


@given(st.binary(max_size=80))
def test_base58check_there_and_back(payload: bytes) -> None:
    assert from_base58check(base58check(payload)) == payload


def test_a_transcript_is_that_of_the_specification() -> None:
    """Fixed keys, those of BIP 324's vectors; every step computed a second time with integers."""
    initiator, ephemeral, static = (
        Keypair(bytes.fromhex(each["secret"]), bytes.fromhex(each["ours"])) for each in VECTORS[:3]
    )
    message = certificate(NOW, NOW + 1)
    act2, server = respond(initiator.encoded, static, message, ephemeral)
    expected, to_server, to_miner = by_hand.act2_and_keys(initiator.encoded, ephemeral, static, message)
    assert act2.hex() == expected.hex()
    assert server.receive.decrypt(Cipher(to_server).encrypt(b"there")) == b"there"
    assert Cipher(to_miner).decrypt(server.send.encrypt(b"and back")) == b"and back"
    fixed, _, _ = by_hand.act2_and_keys(initiator.encoded, ephemeral, static, bytes(74))
    assert hashlib.sha256(fixed).hexdigest() == "3ec3e63b78d86e4ce7bc2736a32839c9c59e77d8f1cc19c8f04172019b07783d"


def test_both_ends_understand_each_other_afterwards() -> None:
    miner, server = shake()
    for number in range(300):
        assert server.receive.decrypt(miner.send.encrypt(bytes(number))) == bytes(number)
        assert miner.receive.decrypt(server.send.encrypt(b"x" * number)) == b"x" * number


def test_a_replayed_message_is_refused() -> None:
    miner, server = shake()
    sealed = miner.send.encrypt(b"once")
    server.receive.decrypt(sealed)
    with pytest.raises(BadValue, match="repeated"):
        server.receive.decrypt(sealed)


def test_a_changed_bit_of_either_act_is_refused() -> None:
    for place in range(ACT2_BYTES):
        with pytest.raises(BadValue, match="handshake was changed"):
            shake(partial(flipped, place=place))
    for place in range(ACT1_BYTES):
        initiator = Initiator()
        act2, _ = respond(flipped(initiator.act1, place), STATIC, certificate())
        with pytest.raises(BadValue, match="handshake was changed"):
            initiator.finish(act2, curve.public_x(AUTHORITY), NOW)


def flipped(data: bytes, place: int) -> bytes:
    """One bit of a byte is another."""
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


@pytest.mark.parametrize("size", [0, 1, 63, 65, 1000])
def test_an_act_1_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(Truncated, match="act 1"):
        respond(bytes(size), STATIC, certificate())


@pytest.mark.parametrize("size", [0, 64, 170, ACT2_BYTES - 1])
def test_an_act_2_that_is_cut_is_refused(size: int) -> None:
    with pytest.raises(Truncated, match="act 2"):
        shake(lambda act2: act2[:size])


def test_somebody_in_between_is_found_out() -> None:
    """With a key pair, a certificate and an authority key of his own, whatever he passes on."""
    with pytest.raises(BadValue, match="not signed by this authority key"):
        shake(message=certificate(authority=hashlib.sha256(b"mallory").digest()))
    with pytest.raises(BadValue, match="not signed by this authority key"):
        shake(key=bytes(32))  # no x coordinate of the curve


def test_a_certificate_of_another_static_key_is_refused() -> None:
    other = Certificate.sign(AUTHORITY, curve.x_of(keypair().encoded), NOW - 10, NOW + 10)
    with pytest.raises(BadValue, match="not signed by this authority key"):
        shake(message=other.pack())


def test_the_times_of_a_certificate_hold() -> None:
    shake(now=NOW - 10)
    shake(now=NOW + 10)
    with pytest.raises(BadValue, match="not valid for another 5 s"):
        shake(now=NOW - 15)
    with pytest.raises(BadValue, match="expired 7 s ago"):
        shake(now=NOW + 17)


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(BadValue, match="unknown version 7"):
        shake(message=b"\x07" + certificate()[1:])


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, b"short"])
def test_a_secret_that_is_none_is_refused(secret: bytes) -> None:
    with pytest.raises(BadValue, match="none of secp256k1"):
        keypair(secret)
    with pytest.raises(BadValue, match="none of secp256k1"):
        curve.shared_secret(Keypair(bytes(32), bytes(64)), bytes(64), initiating=True)
