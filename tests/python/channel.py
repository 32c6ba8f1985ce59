"""The push channel: rekeys by datagram beside QUIC. Written from the rustdoc of group::wire::spec::channel."""

import hmac
from typing import Any

from aioquic.tls import Direction, Epoch, hkdf_expand_label
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from keys import cbc

SEALED, ACKNOWLEDGE, PROBE, GO_AWAY, LEAVES = 4, 5, 6, 10, 11
SEALED_HEAD, TAG = 21, 16
LABEL = b"EXPORTER-wardcast/1 channel"


def is_datagram(data: bytes) -> bool:
    """Whether it is the channel's, not QUIC's (RFC 9443)."""
    return bool(data) and 4 <= data[0] < 16


def code(key: bytes, covered: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(covered)
    return mac.finalize()


def push_key(root: bytes) -> bytes:
    """SP 800-108 in counter mode with CMAC, under a key of its own."""
    base = cbc(root, b"WCpush-channel-1" b"WCpush-channel-2")
    label = b"wardcast push key" + bytes([0]) + (256).to_bytes(4, "big")
    return b"".join(code(base, counter.to_bytes(4, "big") + label) for counter in (1, 2))


class Exporter:
    """The TLS exporter of one connection (RFC 8446 section 7.5), which aioquic does not have.

    The exporter's secret is derived from the transcript up to the server's Finished. At that moment, and at no other,
    aioquic sets up the keys that application data is received with.
    """

    def __init__(self, quic: Any):
        self.secret = None
        self.algorithm = None
        update = quic._update_traffic_key

        def updated(direction: Direction, epoch: Epoch, *rest: Any) -> None:
            if direction == Direction.DECRYPT and epoch == Epoch.ONE_RTT:
                schedule = quic.tls.key_schedule
                self.algorithm = schedule.algorithm
                self.secret = schedule.derive_secret(b"exp master")
            update(direction, epoch, *rest)

        quic._update_traffic_key = updated

    def export(self, label: bytes, context: bytes, length: int) -> bytes:
        empty, given = hashes.Hash(self.algorithm), hashes.Hash(self.algorithm)
        given.update(context)
        size = self.algorithm.digest_size
        secret = hkdf_expand_label(self.algorithm, self.secret, label, empty.finalize(), size)
        return hkdf_expand_label(self.algorithm, secret, b"exporter", given.finalize(), length)


class Pushes:
    """The push keys of the epochs that are held."""

    def __init__(self) -> None:
        self.ciphers: dict[bytes, AESGCM] = {}
        self.names: dict[int, bytes] = {}

    def hold(self, epoch: int, key: bytes) -> None:
        def expand(info: bytes, length: int) -> bytes:
            extracted = hmac.new(bytes(32), key, "sha256").digest()
            return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=info).derive(extracted)

        name = expand(b"wardcast/1 push name", 8)
        self.ciphers[name] = AESGCM(expand(b"wardcast/1 push seal", 32))
        self.names[epoch] = name

    def drop(self, epoch: int) -> None:
        self.ciphers.pop(self.names.pop(epoch, None), None)

    def open(self, data: bytes) -> bytes | None:
        """The push in a sealed datagram; None when nothing that is held opens it."""
        if len(data) <= SEALED_HEAD + TAG or data[0] != SEALED:
            return None
        head, sealed = data[:SEALED_HEAD], data[SEALED_HEAD:]
        cipher = self.ciphers.get(head[1:9])
        try:
            return cipher and cipher.decrypt(head[9:], sealed, head)
        except InvalidTag:
            return None


class Channel:
    """A member's own channel on one connection."""

    def __init__(self, number: int, key: bytes):
        self.number = number
        self.key = key

    @classmethod
    def opened(cls, exporter: Exporter, group: bytes, member: int, number: int) -> "Channel":
        return cls(number, exporter.export(LABEL, context(group, member, number), 32))

    def acknowledge(self, epoch: int) -> bytes:
        return self.say(ACKNOWLEDGE, epoch)

    def say(self, kind: int, what: int) -> bytes:
        covered = bytes([kind]) + self.number.to_bytes(4, "big") + what.to_bytes(8, "big")
        return covered + code(self.key, covered)

    def leaves(self, epoch: int) -> bytes:
        return self.say(LEAVES, epoch)

    def sent_away_by(self, data: bytes) -> bytes | None:
        """The go-away in a datagram to a parked member; None when it is none, or not the gateway's. A member that does not park has
        a connection, is told on that one, and ignores these."""
        if not 21 < len(data) <= 1200 or data[:5] != bytes([GO_AWAY]) + self.number.to_bytes(4, "big"):
            return None
        return data[5:-16] if hmac.compare_digest(code(self.key, data[:-16]), data[-16:]) else None

    def is_probed_by(self, data: bytes) -> bool:
        if len(data) != 29 or data[0] != PROBE or data[1:5] != self.number.to_bytes(4, "big"):
            return False
        return hmac.compare_digest(code(self.key, data[:13]), data[13:])


def context(group: bytes, member: int, number: int) -> bytes:
    return group + member.to_bytes(8, "big") + number.to_bytes(4, "big")
