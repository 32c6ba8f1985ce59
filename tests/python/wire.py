"""Messages of wardcast/1: encoding, strict decoding, names of kinds and fields. Written from the rustdoc of group::wire."""

from typing import Any, NamedTuple

import cbor2

ALPN = "wardcast/1"
SUITE = 1
MAX_REQUEST = 12 * 1024
MAX_MESSAGE = 1024 * 1024
MAX_HEADER = 4 * 1024

# Kinds.
JOIN, RESUME, LEAVE, PULL, STATUS, ACKNOWLEDGE, OPEN_CHANNEL = 1, 2, 3, 4, 5, 6, 7
GRANTED, PATH, LEFT, KEY_SET, STATUS_REPORT, REFUSED, ACKNOWLEDGED, CHANNEL_OPENED = 16, 17, 18, 19, 20, 21, 22, 23
REKEY, ACTIVATE, REMOVED, GO_AWAY = 32, 33, 34, 35
ACK, NACK = 48, 49

NEED_PATH, BAD_HEADER, UNKNOWN_GROUP, NEED_GRANT = 1, 2, 3, 4
ROLES = {"receiver": 0, "sender": 1, "both": 2}


class Malformed(Exception):
    """Received bytes that do not follow the protocol."""


class Node(NamedTuple):
    level: int
    index: int

    def parent(self) -> "Node":
        return Node(self.level + 1, self.index // 4)


class KeyRef(NamedTuple):
    node: Node
    generation: int
    step: int

    @classmethod
    def of(cls, value: Any) -> "KeyRef":
        try:
            (level, index), generation, step = value
            return cls(Node(level, index), generation, step)
        except (TypeError, ValueError) as error:
            raise Malformed(f"not a key reference: {value!r}") from error

    def item(self) -> list:
        return [list(self.node), self.generation, self.step]


class Edge(NamedTuple):
    child: KeyRef
    parent: KeyRef
    wrapped: bytes

    @classmethod
    def of(cls, value: Any) -> "Edge":
        try:
            level, index, generation, step, parent_generation, parent_step, wrapped = value
        except (TypeError, ValueError) as error:
            raise Malformed(f"not an edge: {value!r}") from error
        child = KeyRef(Node(level, index), generation, step)
        parent = KeyRef(child.node.parent(), parent_generation, parent_step)
        if not isinstance(wrapped, bytes) or len(wrapped) != 40 or not 0 <= level < 15:
            raise Malformed(f"not an edge: {value!r}")
        return cls(child, parent, wrapped)


def encode(kind: int, body: dict) -> bytes:
    """A message's bytes; the encoder sorts map keys and writes shortest forms."""
    return cbor2.dumps([kind, body], canonical=True)


def item(data: bytes) -> Any:
    """The one deterministically encoded item that `data` is."""
    try:
        value = cbor2.loads(data)
        again = cbor2.dumps(value, canonical=True)
    except Exception as error:
        raise Malformed(f"not CBOR: {error}") from error
    if again != data:
        raise Malformed("not the deterministic encoding, or bytes follow")
    return value


def decode(data: bytes, limit: int = MAX_MESSAGE) -> tuple[int, dict]:
    """A message's kind and body."""
    if len(data) > limit:
        raise Malformed(f"longer than {limit} bytes")
    message = item(data)
    if not isinstance(message, list) or len(message) < 2:
        raise Malformed("not [kind, body]")
    kind, body = message[:2]
    if not isinstance(kind, int) or not isinstance(body, dict):
        raise Malformed("not [kind, body]")
    return kind, body


def field(body: dict, key: int, kind: type) -> Any:
    """A required field of a body."""
    value = body.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Malformed(f"field {key} is missing or no {kind.__name__}")
    return value


def edges(body: dict, key: int) -> list[Edge]:
    return [Edge.of(value) for value in field(body, key, list)]
