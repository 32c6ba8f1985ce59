#!/usr/bin/env python3
"""How long PyKMIP takes to write and to read messages.

Reads one message in hexadecimal a line, and prints a list of {"encode": seconds, "decode": seconds}. Its objects are made
once, by reading the message; writing them has to give the same bytes. The benchmark `kmip` runs this.
"""

import json
import sys
import time
from enum import Enum

from kmip.core import utils
from kmip.core.messages.messages import RequestMessage, ResponseMessage
from kmip.core.primitives import TextString

ROUNDS = 9
SECONDS = 0.1
KINDS = {0x78: RequestMessage, 0x7B: ResponseMessage}


def read(kind, data):
    message = kind()
    message.read(utils.BytearrayStream(data))
    return message


def mend(value):
    """PyKMIP 0.11.0 puts eight zeros too many behind text that it has read, where the length is a multiple of eight."""
    if isinstance(value, TextString) and value.padding_length == 8:
        value.padding_length = 0
    parts = value if isinstance(value, list) else vars(value).values() if hasattr(value, "__dict__") else []
    for part in [part for part in parts if not isinstance(part, Enum)]:
        mend(part)


def write(message):
    stream = utils.BytearrayStream()
    message.write(stream)
    return stream.buffer


def seconds(call):
    """The median over some rounds of the mean within one."""
    rounds = []
    for _ in range(ROUNDS):
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            call()
            calls += 1
        rounds.append((time.perf_counter() - began) / calls)
    return sorted(rounds)[ROUNDS // 2]


def measured(line):
    data = bytes.fromhex(line)
    kind = KINDS[data[2]]
    message = read(kind, data)
    mend(message)
    assert write(message) == data, "PyKMIP writes another message"
    return {"encode": seconds(lambda: write(message)), "decode": seconds(lambda: read(kind, data))}


print(json.dumps([measured(line) for line in sys.stdin]))
