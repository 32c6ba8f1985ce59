"""Suite 1 and the keys of one registration. Written from the rustdoc of group::wire::spec::keys."""

import hashlib
import hmac
from dataclasses import dataclass, field

import cbor2
import wire
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import Sign1Message
from wire import Edge, KeyRef, Malformed, Node

MAX_STEPS = 128
HEADER_AAD = b"wardcast/1 epoch"


class NeedsPath(Exception):
    """The root cannot be computed from what is held."""


class NeedsGrant(Exception):
    """There was a rollover: the leaf key is another one now."""


class BadHeader(Exception):
    """The header is malformed, or its signature or tag is wrong."""


def cbc(key: bytes, data: bytes) -> bytes:
    assert len(data) == 32
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def ratchet(key: bytes, steps: int) -> bytes:
    for _ in range(steps):
        key = cbc(key, b"WCratchet-step-1" b"WCratchet-step-2")
    return key


def confirmation_tag(root: bytes, prefix: bytes) -> bytes:
    mac = CMAC(algorithms.AES(cbc(root, b"WCconfirm-key--1" b"WCconfirm-key--2")))
    mac.update(prefix)
    return mac.finalize()


def export(root: bytes, group: bytes, epoch: int, label: str, context: bytes, length: int) -> bytes:
    secret = cbc(root, b"WCepoch-secret-1" b"WCepoch-secret-2")
    info = cbor2.dumps(["wardcast/1 export", label, context, length], canonical=True)
    salt = group + epoch.to_bytes(8, "big")
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def spi(group: bytes, epoch: int) -> int:
    x = int.from_bytes(group[:4], "big") ^ (epoch & 0xFFFFFFFF)
    return x if x >= 256 else x ^ 0x80000000


def key_id(signing: bytes) -> bytes:
    return hashlib.sha256(signing).digest()[:8]


def public_point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def transcript(group: bytes, member: int, leaf: KeyRef, public: bytes, agreement: bytes) -> bytes:
    parts = ["wardcast/1 grant", wire.SUITE, group, member, leaf.item(), public, agreement]
    return cbor2.dumps(parts, canonical=True)


def open_grant(private: ec.EllipticCurvePrivateKey, agreement: bytes, bound: bytes, wrapped: bytes) -> bytes:
    """The leaf key of a grant."""
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), agreement)
    z = private.exchange(ec.ECDH(), peer)
    return aes_key_unwrap(cbc(z, hashlib.sha256(bound).digest()), wrapped)


@dataclass(frozen=True)
class Header:
    """A parsed and verified header."""

    suite: int
    group: bytes
    epoch: int
    root: KeyRef
    activation_delay: float
    retirement_delay: float
    sender_space: int
    rollover: int
    prefix: bytes
    tag: bytes


def parse_header(data: bytes, signing: bytes) -> Header:
    """Reads a header and verifies its signature."""
    if len(data) > wire.MAX_HEADER:
        raise BadHeader("too long")
    try:
        outer = wire.item(data)
        if not isinstance(outer, cbor2.CBORTag) or outer.tag != 18:
            raise BadHeader("not a tagged COSE_Sign1")
        protected, unprotected, payload, signature = outer.value
        if wire.item(protected) != {1: -7, 4: key_id(signing)} or unprotected != {} or len(signature) != 64:
            raise BadHeader("not of the form that headers have, or of another issuer")
        body = wire.item(payload)
        tag = wire.field(body, 23, bytes)
        delays = [wire.field(body, key, int) / 1000 for key in (4, 5)]
        header = Header(
            suite=wire.field(body, 0, int),
            group=wire.field(body, 1, bytes),
            epoch=wire.field(body, 2, int),
            root=KeyRef.of(body.get(3)),
            activation_delay=delays[0],
            retirement_delay=delays[1],
            sender_space=wire.field(body, 6, int),
            rollover=wire.field(body, 8, int) if 8 in body else 0,
            prefix=cbor2.dumps(["Signature1", protected, HEADER_AAD, payload])[:-16],
            tag=tag,
        )
    except (Malformed, ValueError, TypeError) as error:
        raise BadHeader(str(error)) from error
    if len(tag) != 16 or not payload.endswith(b"\x17\x50" + tag):
        raise BadHeader("the tag is not the last entry")
    # From its parts: pycose's own decode expects lists where newer versions of cbor2 give tuples.
    message = Sign1Message.from_cose_obj([protected, {}, payload, signature], True)
    message.external_aad = HEADER_AAD
    message.key = EC2Key(crv=P256, x=signing[1:33], y=signing[33:])
    if not message.verify_signature():
        raise BadHeader("the signature is wrong")
    return header


@dataclass
class Registration:
    """The keys of one registration: those of the path's nodes, and the roots of the epochs in use."""

    group: bytes
    signing: bytes
    leaf: KeyRef
    agreement: bytes = b""
    member: int = 0
    # How many rollovers there were when the leaf key was granted; unknown until its path is delivered.
    rollover: int | None = None
    newest: int = 0
    nodes: dict[Node, tuple[KeyRef, bytes]] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def granted(cls, body: dict, private: ec.EllipticCurvePrivateKey) -> "Registration":
        """The registration of a granted, its leaf key opened; the path in it is still to be delivered."""
        group, member = wire.field(body, 0, bytes), wire.field(body, 2, int)
        leaf = KeyRef.of(body.get(4))
        agreement = wire.field(body, 7, bytes)
        bound = transcript(group, member, leaf, public_point(private), agreement)
        key = open_grant(private, agreement, bound, wire.field(body, 5, bytes))
        signing = wire.field(body, 6, bytes)
        registration = cls(group=group, signing=signing, leaf=leaf, agreement=agreement, member=member)
        registration.nodes[leaf.node] = (leaf, key)
        return registration

    def renewed(self, body: dict, private: ec.EllipticCurvePrivateKey) -> None:
        """Takes the leaf key of a granted that answers a pull or resume; its path is still to be delivered."""
        granted = Registration.granted(body, private)
        for name in ("group", "member", "signing", "agreement"):
            if getattr(granted, name) != getattr(self, name):
                raise Malformed(f"a leaf key of another {name}")
        self.leaf, self.nodes, self.rollover = granted.leaf, granted.nodes, None

    def deliver(self, header_bytes: bytes, edges: list[Edge]) -> Header | None:
        """Opens a delivery. None when it is of no newer epoch than the newest held; nothing changes when it fails."""
        header = parse_header(header_bytes, self.signing)
        if header.group != self.group or header.suite != wire.SUITE:
            raise BadHeader("of another group or suite")
        if header.epoch <= self.newest:
            return None
        if self.rollover not in (None, header.rollover):
            raise NeedsGrant(header)
        nodes = dict(self.nodes)
        for edge in edges:
            open_edge(nodes, edge)
        root = at_step(nodes, header.root)
        if root is None:
            raise NeedsPath(f"no key for {header.root}")
        if not hmac.compare_digest(confirmation_tag(root, header.prefix), header.tag):
            raise BadHeader("the confirmation tag is wrong")
        self.nodes, self.newest, self.rollover = nodes, header.epoch, header.rollover
        self.roots[header.epoch] = root
        return header

    def export(self, epoch: int, label: str, context: bytes, length: int) -> bytes:
        return export(self.roots[epoch], self.group, epoch, label, context, length)

    def drop(self, epoch: int) -> None:
        del self.roots[epoch]


def at_step(nodes: dict[Node, tuple[KeyRef, bytes]], wanted: KeyRef) -> bytes | None:
    """The key of that name, ratcheted in place from the one that is held, if there is one to begin from."""
    held, key = nodes.get(wanted.node, (None, b""))
    if held is None or held.generation != wanted.generation:
        return None
    if not 0 <= wanted.step - held.step <= MAX_STEPS:
        return None
    key = ratchet(key, wanted.step - held.step)
    nodes[wanted.node] = (wanted, key)
    return key


def open_edge(nodes: dict[Node, tuple[KeyRef, bytes]], edge: Edge) -> None:
    child = at_step(nodes, edge.child)
    if child is None:
        return
    try:
        key = aes_key_unwrap(child, edge.wrapped)
    except InvalidUnwrap:
        return
    held = nodes.get(edge.parent.node)
    if held is None or held[0][1:] < edge.parent[1:]:
        nodes[edge.parent.node] = (edge.parent, key)
