#!/usr/bin/env python3
"""A member of wardcast/1 that stands on the rustdoc of group::wire: joins, follows rekeys, exports keys.

Its keys and messages were written from that documentation. Where the two disagreed with a real gateway the documentation was
corrected first, so that it says all that is needed.

Prints a line of JSON for everything that happens, exported keys among it: it is a test's peer, not a tool. The word
"leave" on its standard input ends the registration, "pull" asks for the keys in use.
"""

import argparse
import asyncio
import json
import random
import ssl
import sys
from pathlib import Path

import channel
import wire
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset
from cryptography.hazmat.primitives.asymmetric import ec
from epochs import Epochs
from keys import BadHeader, NeedsGrant, NeedsPath, Registration, public_point

KEEP_ALIVE_S = 1
PING_S = 3
ANSWER_S = 30
MOST_PAUSE_S = 60
TOLD_WITHIN_S = 0.5
UNKNOWN_MEMBER, DESTROYED = 5, 10


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


class Refused(Exception):
    """The gateway's refusal, by number, in words and, where it passes, with the seconds after which to ask again."""

    def __init__(self, body):
        self.code = wire.field(body, 0, int)
        self.message = wire.field(body, 1, str)
        self.retry_after = body.get(2, 1000) / 1000
        super().__init__(f"{self.message} ({self.code})")

    def passes(self):
        return self.code >= 128


class Connection(QuicConnectionProtocol):
    """Exchanges on one connection: a stream each, ended by its end."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.received = {}
        self.answers = {}
        self.lost = asyncio.get_running_loop().create_future()
        self.on_push = None
        self.on_datagram = None
        self.peer = None
        self.exporter = channel.Exporter(self._quic)

    def datagram_received(self, data, addr):
        self.peer = addr
        if not channel.is_datagram(data):
            super().datagram_received(data, addr)
        elif self.on_datagram:
            self.say(self.on_datagram(data))

    def say(self, datagram):
        if datagram:
            self._transport.sendto(datagram, self.peer)

    async def request(self, kind, body, *expected):
        """The kind of the answer and its body; a Refused when it is one."""
        stream = self._quic.get_next_available_stream_id()
        answer = self.answers[stream] = asyncio.get_running_loop().create_future()
        self._quic.send_stream_data(stream, wire.encode(kind, body), end_stream=True)
        self.transmit()
        kind, body = wire.decode(await asyncio.wait_for(answer, ANSWER_S))
        if kind == wire.REFUSED:
            raise Refused(body)
        if kind not in expected:
            raise wire.Malformed(f"answer {kind} where {expected} belongs")
        return kind, body

    async def test(self):
        """A gateway that was killed says nothing, and its successor does not know the connection: no answer is a loss."""
        ping = asyncio.ensure_future(self.ping())
        ping.add_done_callback(lambda ping: ping.cancelled() or ping.exception())
        answered, _ = await asyncio.wait([ping], timeout=PING_S)
        if not answered:
            raise TimeoutError("the gateway does not answer")

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            data = self.received.setdefault(event.stream_id, bytearray())
            data += event.data
            if event.end_stream:
                self.finished(event.stream_id, bytes(self.received.pop(event.stream_id)))
            elif len(data) > wire.MAX_MESSAGE:
                self.close(error_code=1, reason_phrase="message too large")
        elif isinstance(event, StreamReset):
            self.received.pop(event.stream_id, None)
            self.fail(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            if not self.lost.done():
                self.lost.set_result(event.reason_phrase)
            for stream in list(self.answers):
                self.fail(stream)

    def fail(self, stream):
        answer = self.answers.pop(stream, None)
        if answer and not answer.done():
            answer.set_exception(ConnectionError("the exchange ended without an answer"))

    def finished(self, stream, data):
        match stream % 4:
            case 0:
                answer = self.answers.pop(stream, None)
                if answer and not answer.done():
                    answer.set_result(data)
            case 1:
                reply = self.on_push(data)
                if reply is None:
                    self._quic.reset_stream(stream, 1)
                else:
                    self._quic.send_stream_data(stream, reply, end_stream=True)
                self.transmit()


class Route:
    """Gateways by address and name: those that the last one named, the own one, and round again."""

    MOST = 8

    def __init__(self, home, name):
        self.home = (home, name)
        self.gateways = [self.home]

    def sent(self, to):
        named = [address for address in to[: self.MOST] if isinstance(address, str) and ":" in address]
        if named:
            self.gateways = [(address, address.rsplit(":", 1)[0].strip("[]")) for address in named] + [self.home]

    def failed(self):
        self.gateways.append(self.gateways.pop(0))


class Member:
    """One registration, over as many connections as it takes."""

    def __init__(self, options):
        self.options = options
        self.name = options.group
        self.member = None
        self.registration = None
        self.sender_space = None
        self.epochs = Epochs(tell, self.drop)
        self.pushes = channel.Pushes()
        self.channel, self.early, self.probes = None, None, None
        self.connection = None
        self.pulling, self.telling = None, None
        self.hurry = asyncio.Event()
        self.route = Route(options.connect, options.server_name)
        self.away = 0
        self.over = asyncio.get_running_loop().create_future()

    # ---- what the gateway pushes ------------------------------------------------------------------

    def push(self, data):
        """Takes a push; the reply, or nothing for a kind that is not known."""
        kind, body = wire.decode(data)
        if kind == wire.GO_AWAY:
            tell("go away", retry_after_ms=wire.field(body, 0, int), to=body.get(1, []))
            self.away = wire.field(body, 0, int) / 1000
            self.route.sent(wire.field(body, 1, list) if 1 in body else [])
            return self.ack()
        if kind not in (wire.REKEY, wire.ACTIVATE, wire.REMOVED):
            return None
        if self.registration is None or wire.field(body, 0, bytes) != self.registration.group:
            return wire.encode(wire.NACK, {0: wire.UNKNOWN_GROUP, 1: self.newest()})
        if kind == wire.REKEY:
            return self.rekey(body)
        if kind == wire.ACTIVATE:
            return self.activate(wire.field(body, 1, int))
        if wire.field(body, 1, int) == self.member:
            self.end("removed", reason=wire.field(body, 2, int))
        return self.ack()

    def datagram(self, data):
        """Takes a datagram; the acknowledgement, where one is due."""
        if self.registration is None or self.channel is None:
            self.early = data  # a probe may be here before what tells of its channel
            return None
        if self.channel.is_probed_by(data):
            self.probes.release()
            return self.channel.acknowledge(self.newest())
        message = self.pushes.open(data)
        if message is None:
            return None
        kind, body = wire.decode(message)
        if kind not in (wire.REKEY, wire.ACTIVATE) or wire.field(body, 0, bytes) != self.registration.group:
            return None
        if kind == wire.ACTIVATE:
            self.activate(wire.field(body, 1, int))
            return None
        done, _ = wire.decode(self.rekey(body, "datagram"))
        return self.channel.acknowledge(self.newest()) if done == wire.ACK else None

    def rekey(self, body, by="rekey"):
        try:
            edges = wire.edges(body, 3)
            # Before the new epoch takes the place of the oldest that is not active.
            self.epochs.activate(wire.field(body, 2, int))
            self.deliver(wire.field(body, 1, bytes), edges, by)
            return self.ack()
        except NeedsPath:
            code = wire.NEED_PATH
        except NeedsGrant as renewed:
            # Everybody asks: each at a time of its own, during the first half of the delay.
            header = renewed.args[0]
            tell("rolled over", epoch=header.epoch, rollover=header.rollover)
            self.pull(random.uniform(0, header.activation_delay / 2))
            return wire.encode(wire.NACK, {0: wire.NEED_GRANT, 1: self.newest()})
        except BadHeader as error:
            tell("bad header", why=str(error))
            code = wire.BAD_HEADER
        self.pull()
        return wire.encode(wire.NACK, {0: code, 1: self.newest()})

    def activate(self, epoch):
        if epoch > self.newest():
            self.hurry.set()
            self.pull()
            return wire.encode(wire.NACK, {0: wire.NEED_PATH, 1: self.newest()})
        self.epochs.activate(epoch)
        return self.ack()

    def ack(self):
        return wire.encode(wire.ACK, {0: self.newest()})

    def newest(self):
        return self.registration.newest if self.registration else 0

    # ---- epochs -----------------------------------------------------------------------------------

    def deliver(self, header_bytes, edges, by):
        """Opens a delivery; one that is no news changes nothing."""
        header = self.registration.deliver(header_bytes, edges)
        if header is None:
            return
        exported = {
            f"{label}:{length}": self.registration.export(header.epoch, label, b"", length).hex()
            for label, length in self.options.export
        }
        group = self.registration.group.hex()
        tell("installed", group=group, epoch=header.epoch, by=by, edges=len(edges), exported=exported)
        self.epochs.install(header)
        if header.epoch in self.registration.roots:
            self.pushes.hold(header.epoch, channel.push_key(self.registration.roots[header.epoch]))
        if self.options.role != "receiver" and self.sender_space not in (None, header.sender_space):
            self.pull()

    async def path(self, body, by, acknowledges=True):
        """Takes what a granted, path or key-set brings."""
        self.sender_space = wire.field(body, 4, int)
        tell("senders", space=self.sender_space, ids=wire.field(body, 3, list))
        active = wire.field(body, 2, int)
        self.deliver(wire.field(body, 0, bytes), wire.edges(body, 1), by)
        self.epochs.activate(active)
        if acknowledges:
            await self.acknowledge()

    async def acknowledge(self):
        await self.ask(wire.ACKNOWLEDGE, {1: self.member, 2: self.newest()}, wire.ACKNOWLEDGED)

    def pull(self, delay=0):
        """Asks for the path, or for the leaf key that is the registration's now, unless that is under way."""
        if self.pulling is None or self.pulling.done():
            self.hurry.clear()
            self.pulling = asyncio.ensure_future(self.repair(self.connection, delay))

    async def repair(self, connection, delay):
        pause = 1
        waits = asyncio.ensure_future(self.hurry.wait())
        await asyncio.wait([waits], timeout=delay)
        waits.cancel()
        while not self.over.done() and connection is self.connection:
            try:
                private = ec.generate_private_key(ec.SECP256R1())
                leaf = self.registration.leaf.item()
                body = {1: self.member, 2: self.newest(), 3: {1: public_point(private)}, 4: leaf}
                kind, body = await self.ask(wire.PULL, body, wire.KEY_SET, wire.GRANTED)
                if kind == wire.GRANTED:
                    return await self.renewed(body, private, "pull")
                tell("key set", epochs=[[state[0], state[1], state[5]] for state in wire.field(body, 0, list)])
                return await self.path(wire.field(body, 1, dict), "pull")
            except (Refused, BadHeader, NeedsGrant, NeedsPath, ConnectionError, TimeoutError) as error:
                tell("not repaired", why=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE_S)

    async def renewed(self, body, private, by):
        """Takes the leaf key that the registration has since a rollover."""
        self.registration.renewed(body, private)
        tell("renewed", leaf=self.registration.leaf.item(), by=by)
        await self.path(wire.field(body, 8, dict), "renewal")

    def drop(self, epoch):
        self.pushes.drop(epoch)
        self.registration.drop(epoch)

    # ---- requests ---------------------------------------------------------------------------------

    async def ask(self, kind, body, *expected):
        """Asks, and again while the refusal is one that passes; the kind of the answer and its body."""
        while True:
            try:
                return await self.connection.request(kind, {0: self.name, **body}, *expected)
            except Refused as refused:
                if not refused.passes():
                    raise
                tell("refused", code=refused.code, message=refused.message)
                await asyncio.sleep(refused.retry_after)

    async def join(self):
        private = ec.generate_private_key(ec.SECP256R1())
        role = wire.ROLES[self.options.role]
        token = {} if self.options.token_file is None else {5: self.options.token_file.read_text().strip()}
        _, body = await self.ask(
            wire.JOIN, {1: role, 2: public_point(private), 3: [wire.SUITE], **token, 6: True}, wire.GRANTED
        )
        self.registration = Registration.granted(body, private)
        self.member = wire.field(body, 2, int)
        tell("joined", member=self.member, group=self.registration.group.hex(), leaf=self.registration.leaf.item())
        await self.path(wire.field(body, 8, dict), "grant", acknowledges=10 not in body)
        if 10 in body:
            # Not before the root is confirmed: the answer to the first probe tells that.
            self.opened(wire.field(body, 10, dict))

    async def resume(self):
        private = ec.generate_private_key(ec.SECP256R1())
        leaf = self.registration.leaf.item()
        body = {1: self.member, 2: leaf, 3: self.newest(), 4: {1: public_point(private)}}
        kind, body = await self.ask(wire.RESUME, body, wire.PATH, wire.GRANTED)
        tell("resumed", member=self.member)
        if kind == wire.GRANTED:
            await self.renewed(body, private, "resume")
        else:
            await self.path(body, "resume")

    async def open_channel(self):
        """Asks for rekeys by datagram; without, they come on streams."""
        try:
            _, body = await self.ask(wire.OPEN_CHANNEL, {1: self.member}, wire.CHANNEL_OPENED)
        except Refused as refused:
            tell("no channel", code=refused.code)
            return
        self.opened(body)

    def opened(self, body):
        number = wire.field(body, 0, int)
        group = self.registration.group
        self.channel = channel.Channel.opened(self.connection.exporter, group, self.member, number)
        tell("channel", number=number)
        if self.early is not None:
            self.connection.say(self.datagram(self.early))

    async def told(self, probes):
        """Tells by stream what the grant brought: without a probe, or with a second one, however late, no datagram told it."""
        try:
            await asyncio.wait_for(probes.acquire(), TOLD_WITHIN_S)
            await probes.acquire()
        except TimeoutError:
            pass
        if self.over.done() or self.connection.lost.done():
            return
        try:
            await self.acknowledge()
        except (Refused, ConnectionError, TimeoutError) as error:
            tell("not told", why=str(error))

    async def leave(self):
        await self.ask(wire.LEAVE, {1: self.member}, wire.LEFT)
        self.end("left")

    def end(self, event, **details):
        """The registration is over: its keys are dropped."""
        tell(event, **details)
        self.epochs.end()
        self.pushes = channel.Pushes()
        self.registration = None
        if not self.over.done():
            self.over.set_result(None)

    # ---- connections ------------------------------------------------------------------------------

    async def serve(self, connection):
        """One connection's life."""
        self.connection = connection
        connection.on_push = self.push
        connection.on_datagram = self.datagram
        self.channel, self.early, self.probes = None, None, asyncio.Semaphore(0)
        if self.telling is not None:
            self.telling.cancel()
        await (self.join() if self.registration is None else self.resume())
        if self.channel is not None:
            self.telling = asyncio.ensure_future(self.told(self.probes))
        elif not self.over.done():
            await self.open_channel()
        while not self.over.done() and not connection.lost.done():
            await asyncio.wait(
                [self.over, connection.lost], timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not self.over.done() and not connection.lost.done():
                await connection.test()
        # The gateway has its last ack before the connection is closed.
        await asyncio.sleep(0.2)

    async def run(self):
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=[wire.ALPN], server_name=self.options.server_name, idle_timeout=30
        )
        configuration.verify_mode = ssl.CERT_REQUIRED
        configuration.load_verify_locations(self.options.ca)
        configuration.load_cert_chain(self.options.cert, self.options.key)
        pause = 0.5
        while not self.over.done():
            address, configuration.server_name = self.route.gateways[0]
            host, port = address.rsplit(":", 1)
            connected = False
            try:
                async with connect(
                    host.strip("[]"), int(port), configuration=configuration, create_protocol=Connection
                ) as connection:
                    pause, connected = 0.5, True
                    tell("connected", to=address)
                    await self.serve(connection)
            except Refused as refused:
                tell("refused", code=refused.code, message=refused.message)
                return 2
            except (ConnectionError, TimeoutError) as error:
                tell("lost", why=str(error))
                if not connected:
                    self.route.failed()
            if not self.over.done():
                await asyncio.sleep(max(pause, self.away))
                self.away = 0
                pause = min(2 * pause, MOST_PAUSE_S)
        return 0


def label_and_length(text):
    label, length = text.rsplit(":", 1)
    return label, int(length)


async def commands(member):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        match line.strip():
            case b"leave":
                await member.leave()
            case b"pull":
                member.pull()


def fault(loop, context):
    """What goes wrong in a callback is a fault of this member: it must not pass for a rough connection."""
    tell("fault", why=str(context.get("exception") or context["message"]))
    loop.default_exception_handler(context)
    sys.exit(3)


async def main():
    asyncio.get_running_loop().set_exception_handler(fault)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connect", required=True, metavar="HOST:PORT")
    parser.add_argument("--server-name", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--token-file", type=Path, help="a bearer token to present when it joins")
    parser.add_argument("--role", choices=sorted(wire.ROLES), default="receiver")
    parser.add_argument("--export", action="append", type=label_and_length, default=[], metavar="LABEL:LENGTH")
    member = Member(parser.parse_args())
    listening = asyncio.ensure_future(commands(member))
    status = await member.run()
    listening.cancel()
    return status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
