#!/usr/bin/env python3
"""Known answers for suite 2, computed from its specification (rustdoc of src/crypto) with pyca/cryptography alone.

    target/venv/bin/python tests/vectors/suite2.py > tests/vectors/suite2.json

Nothing here shares code with the Rust implementation: agreement between the two is what the vectors are for. Encapsulation
and ML-DSA are randomised, so that ciphertexts, what follows from them, and signatures differ from run to run.
"""

import hashlib
import json

from cryptography.hazmat.primitives import cmac, hashes
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from suite1 import cbor, head, shown

Q = 3329


def filler(name, length=32):
    """Bytes that look random and can be made again: SHAKE-256 of the value's name."""
    return hashlib.shake_256(("wardcast suite 2 vectors: " + name).encode()).digest(length)


def hkdf(ikm, info):
    return HKDF(hashes.SHA256(), 32, None, info).derive(ikm)


def node_key(seed, group, level, index, generation, step):
    data = b"WCnode" + bytes([level, 0]) + index.to_bytes(4, "big") + generation.to_bytes(4, "big") + group
    key = hkdf(seed, b"wardcast/2 node" + data)
    for _ in range(step):
        key = hkdf(key, b"wardcast/2 ratchet")
    return key


def wrap(child, parent):
    return aes_key_wrap(hkdf(child, b"wardcast/2 wrap"), parent)


def tag(root, prefix):
    mac = cmac.CMAC(algorithms.AES(hkdf(root, b"wardcast/2 confirm")))
    mac.update(prefix)
    return mac.finalize()


def export(root, group, epoch, label, context, length):
    secret = hkdf(root, b"wardcast/2 secret")
    info = cbor(["wardcast/1 export", label, context, length])
    return HKDF(hashes.SHA256(), length, group + epoch.to_bytes(8, "big"), info).derive(secret)


def ml_kem_expanded(seed, public):
    """FIPS 203 algorithm 16, from the seed d || z: dk_PKE || ek || H(ek) || z. pyca keeps the seed form alone."""
    expanded = hashlib.sha3_512(seed[:32] + bytes([3])).digest()
    rho, sigma = expanded[:32], expanded[32:]
    assert public[-32:] == rho
    secret = b""
    for nonce in range(3):
        stream = hashlib.shake_256(sigma + bytes([nonce])).digest(128)
        bits = [byte >> bit & 1 for byte in stream for bit in range(8)]
        small = [bits[4 * i] + bits[4 * i + 1] - bits[4 * i + 2] - bits[4 * i + 3] for i in range(256)]
        value = sum(coefficient << 12 * i for i, coefficient in enumerate(ntt([x % Q for x in small])))
        secret += value.to_bytes(384, "little")
    return secret + public + hashlib.sha3_256(public).digest() + seed[32:]


def ntt(f):
    """FIPS 203 algorithm 9."""
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            zeta = pow(17, int(f"{i:07b}"[::-1], 2), Q)
            i += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def member(name):
    x25519, kem = X25519PrivateKey.from_private_bytes(filler(name + " x25519")), filler(name + " kem", 64)
    private = MLKEM768PrivateKey.from_seed_bytes(kem)
    public = x25519.public_key().public_bytes_raw() + private.public_key().public_bytes_raw()
    return x25519, private, public, ml_kem_expanded(kem, public[32:])


def derivations():
    master, nonce, group = filler("master"), filler("nonce"), filler("group", 16)
    seed = hkdf(master, b"wardcast/2 seed" + nonce)
    names = [(0, 0, 1, 0), (0, 4_294_967_295, 4_294_967_295, 0), (1, 0, 1, 1), (2, 7, 3, 2), (15, 0, 9, 128)]
    nodes = [
        dict(zip(("level", "index", "generation", "step"), name), key=node_key(seed, group, *name)) for name in names
    ]
    return {"master": master, "nonce": nonce, "group": group, "seed": seed, "nodes": nodes}


def wraps():
    for number in range(3):
        child, key = filler(f"child {number}"), filler(f"key {number}")
        yield {"child": child, "key": key, "wrapped": wrap(child, key)}


def confirmations():
    for length in (0, 16, 40, 300):
        root, prefix = filler(f"root {length}"), filler(f"prefix {length}", length)
        yield {"root": root, "prefix": prefix, "tag": tag(root, prefix)}


def exports():
    root, group = filler("export root"), filler("export group", 16)
    for epoch, label, context, length in [(1, "srtp", b"", 46), (2**64 - 1, "ключ", filler("context", 300), 30)]:
        value = export(root, group, epoch, label, context, length)
        yield {"root": root, "group": group, "epoch": str(epoch), "label": label, "context": context, "length": length,
               "value": value}


def grants():
    for number in range(2):
        issuer = X25519PrivateKey.from_private_bytes(filler(f"issuer {number}"))
        issuer_public = issuer.public_key().public_bytes_raw()
        x25519, kem, public, expanded = member(f"member {number}")
        z1 = issuer.exchange(x25519.public_key())
        z2, ciphertext = kem.public_key().encapsulate()
        assert z2 == kem.decapsulate(ciphertext) and len(ciphertext) == 1088
        leaf = filler(f"leaf {number}")
        items = ["wardcast/1 grant", 2, filler("group", 16), 1000 + number, [[0, number], 1, 0], public, issuer_public]
        # All but the ciphertext itself, whose head ends it.
        transcript = head(4, 8) + b"".join(map(cbor, items)) + head(2, len(ciphertext))
        assert transcript + ciphertext == cbor([*items, ciphertext])
        kek = hkdf(z2 + z1, b"wardcast/2 grant" + hashlib.sha256(transcript + ciphertext).digest())
        yield {
            "issuer_private": filler(f"issuer {number}"), "issuer_public": issuer_public,
            "member_x25519": filler(f"member {number} x25519"), "member_kem": expanded, "member_public": public,
            "transcript": transcript, "encapsulated": ciphertext, "leaf": leaf, "wrapped": aes_key_wrap(kek, leaf),
        }


def signatures():
    private = MLDSA65PrivateKey.from_seed_bytes(filler("signer"))
    public, message = private.public_key().public_bytes_raw(), filler("message", 100)
    yield {
        "seed": filler("signer"), "public": public, "key_id": hashlib.sha256(public).digest()[:8], "message": message,
        "signature": private.sign(message),
    }


def bad_keys():
    """By what to put where in a good member's key."""
    order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    points = {
        "zero": bytes(32), "one": bytes([1]) + bytes(31), "of order 8": bytes.fromhex(order_8),
        "minus one": (2**255 - 20).to_bytes(32, "little"), "p, for zero": (2**255 - 19).to_bytes(32, "little"),
    }
    for why, point in points.items():
        yield {"why": f"the X25519 key is {why}", "at": 0, "bytes": point}
    yield {"why": "the first coefficient is q", "at": 32, "bytes": Q.to_bytes(2, "little")}
    yield {"why": "the second coefficient is above q", "at": 34, "bytes": b"\xff"}
    yield {"why": "the last coefficient is q", "at": 32 + 1150, "bytes": (Q << 4).to_bytes(2, "little")}


if __name__ == "__main__":
    parts = {
        "derivations": derivations(), "wraps": wraps(), "confirmations": confirmations(), "exports": exports(),
        "grants": grants(), "signatures": signatures(), "bad_keys": bad_keys(),
    }
    print(json.dumps(shown(parts), indent=1, ensure_ascii=False))
