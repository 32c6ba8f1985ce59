#!/usr/bin/env python3
"""Known answers for suite 1, computed from its specification (rustdoc of src/crypto) with pyca/cryptography alone.

    python3 tests/vectors/suite1.py > tests/vectors/suite1.json

Nothing here shares code with the Rust implementation: agreement between the two is what the vectors are for.
"""

import hashlib
import json

from cryptography.hazmat.primitives import cmac, hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def filler(name, length=32):
    """Bytes that look random and can be made again: SHAKE-256 of the value's name."""
    return hashlib.shake_256(("wardcast suite 1 vectors: " + name).encode()).digest(length)


def cbc(key, data):
    assert len(key) == 32 and len(data) == 32
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def node_key(seed, group, level, index, generation, step):
    data = b"WCnode" + bytes([level, 0]) + index.to_bytes(4, "big") + generation.to_bytes(4, "big") + group
    key = cbc(seed, data)
    for _ in range(step):
        key = cbc(key, b"WCratchet-step-1WCratchet-step-2")
    return key


def tag(root, prefix):
    mac = cmac.CMAC(algorithms.AES(cbc(root, b"WCconfirm-key--1WCconfirm-key--2")))
    mac.update(prefix)
    return mac.finalize()


def head(major, value):
    """The head of a CBOR item, shortest form."""
    for size, code in ((0, None), (1, 24), (2, 25), (4, 26), (8, 27)):
        if size == 0 and value < 24:
            return bytes([major << 5 | value])
        if size and value < 1 << (8 * size):
            return bytes([major << 5 | code]) + value.to_bytes(size, "big")
    raise ValueError(value)


def cbor(value):
    """Unsigned integers, byte strings, text and lists: all that suite 1 hashes."""
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


def export(root, group, epoch, label, context, length):
    secret = cbc(root, b"WCepoch-secret-1WCepoch-secret-2")
    info = cbor(["wardcast/1 export", label, context, length])
    kdf = HKDF(hashes.SHA256(), length, group + epoch.to_bytes(8, "big"), info)
    return kdf.derive(secret)


def key_pair(name):
    # A scalar with its top bit cleared is below the order of P-256.
    scalar = bytearray(filler(name))
    scalar[0] &= 0x7F
    private = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return private, bytes(scalar), public


def derivations():
    master, nonce, group = filler("master"), filler("nonce"), filler("group", 16)
    seed = cbc(master, nonce)
    names = [(0, 0, 1, 0), (0, 4_294_967_295, 4_294_967_295, 0), (1, 0, 1, 1), (2, 7, 3, 2), (15, 0, 9, 128)]
    nodes = [
        dict(zip(("level", "index", "generation", "step"), name), key=node_key(seed, group, *name)) for name in names
    ]
    return {"master": master, "nonce": nonce, "group": group, "seed": seed, "nodes": nodes}


def wraps():
    for number in range(3):
        kek, key = filler(f"kek {number}"), filler(f"key {number}")
        yield {"kek": kek, "key": key, "wrapped": aes_key_wrap(kek, key)}


def confirmations():
    for length in (0, 16, 40, 300):
        root, prefix = filler(f"root {length}"), filler(f"prefix {length}", length)
        yield {"root": root, "prefix": prefix, "tag": tag(root, prefix)}


def exports():
    cases = [
        (1, "srtp", b"", 46),
        (2, "srtp", b"", 46),
        (2, "srtp", filler("context", 300), 30),
        (2**64 - 1, "ключ", b"context", 1),
        (7, "everything", b"", 8160),
    ]
    root, group = filler("export root"), filler("export group", 16)
    for epoch, label, context, length in cases:
        value = export(root, group, epoch, label, context, length)
        # The longest export is given by its digest, to keep the file readable.
        shown = {"value": value} if length < 100 else {"value_sha256": hashlib.sha256(value).digest()}
        yield {
            "root": root, "group": group, "epoch": str(epoch), "label": label, "context": context, "length": length,
            **shown,
        }


def grants():
    for number in range(3):
        issuer, issuer_scalar, issuer_public = key_pair(f"issuer {number}")
        member, member_scalar, member_public = key_pair(f"member {number}")
        z = issuer.exchange(ec.ECDH(), member.public_key())
        assert z == member.exchange(ec.ECDH(), issuer.public_key())
        leaf = filler(f"leaf {number}")
        transcript = cbor([
            "wardcast/1 grant", 1, filler("group", 16), 1000 + number, [[0, number], 1, 0], member_public, issuer_public,
        ])
        kek = cbc(z, hashlib.sha256(transcript).digest())
        yield {
            "issuer_scalar": issuer_scalar, "issuer_public": issuer_public,
            "member_scalar": member_scalar, "member_public": member_public,
            "transcript": transcript, "kek": kek, "leaf": leaf, "wrapped": aes_key_wrap(kek, leaf),
        }


def signatures():
    for number in range(2):
        private, scalar, public = key_pair(f"signer {number}")
        message = filler(f"message {number}", 100)
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        yield {
            "scalar": scalar, "public": public, "key_id": hashlib.sha256(public).digest()[:8], "message": message,
            "signature": r.to_bytes(32, "big") + s.to_bytes(32, "big"),
        }


def bad_points():
    _, _, public = key_pair("member 0")
    flipped = bytearray(public)
    flipped[64] ^= 1
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    yield {"why": "not on the curve", "public": bytes(flipped)}
    yield {"why": "the hybrid form", "public": bytes([6 + (public[64] & 1)]) + public[1:]}
    yield {"why": "an unknown form", "public": b"\x00" + public[1:]}
    yield {"why": "all zero", "public": bytes(65)}
    yield {"why": "x = y = 0", "public": b"\x04" + bytes(64)}
    # (0, sqrt(b)) is on the curve; the same point with x = p is not reduced.
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    root = pow(b, (p + 1) // 4, p)
    assert root * root % p == b
    yield {"why": "x is not reduced", "public": b"\x04" + p.to_bytes(32, "big") + root.to_bytes(32, "big")}


def shown(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, (str, int)):
        return value
    return [shown(item) for item in value]


if __name__ == "__main__":
    parts = {
        "derivations": derivations(), "wraps": wraps(), "confirmations": confirmations(), "exports": exports(),
        "grants": grants(), "signatures": signatures(), "bad_points": bad_points(),
    }
    print(json.dumps(shown(parts), indent=1, ensure_ascii=False))
