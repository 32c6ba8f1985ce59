#!/usr/bin/python3
"""An SRTP sender or receiver on GStreamer that takes its keys from `wardcast join --json`, line by line on standard input.

    wardcast join --json … --export "srtp key:16" --export "srtp salt:14" --export "srtp mki:4" | peer.py send ADDRESS PORT
    wardcast join --json … (the same)                                                         | peer.py receive ADDRESS PORT

A receiver installs a key as soon as it hears of it; a sender switches when it is told to, so that no receiver meets a packet
whose key it lacks. SIGTERM ends the peer, which then prints one JSON object: what it sent, or heard and decoded, by MKI.
"""

import collections
import json
import signal
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402 (the version must be required first)

TAG_LENGTH = 10  # HMAC-SHA1-80
MKI_LENGTH = 4
# Packets of 5 ms: the shorter they are, the more of them a gap would lose.
SAMPLES_PER_PACKET = 40
# How long a receiver waits, in seconds, for the key of a packet that came before it.
PATIENCE = 0.5
SUITE = "aes-128-icm", "hmac-sha1-80"
EXPORTS = {"srtp key": 16, "srtp salt": 14, "srtp mki": MKI_LENGTH}


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def sequence_of(packet):
    return int.from_bytes(packet[2:4], "big")


def bytes_of(buffer):
    return buffer.extract_dup(0, buffer.get_size())


class Keys:
    """The epochs whose keys this peer holds: epoch -> (master key and salt, MKI)."""

    def __init__(self):
        self.lock = threading.Condition()
        self.known = {}
        self.sending = None
        self.changed = False

    def take(self, event):
        """Apply one line of `wardcast join --json`."""
        kind, epoch = event["event"], event.get("epoch")
        with self.lock:
            if kind == "installed":
                exports = {label: bytes.fromhex(value) for label, value in event["exports"].items()}
                for label, length in EXPORTS.items():
                    if len(exports[label]) != length:
                        raise ValueError(f"export {label!r} has {len(exports[label])} bytes, not {length}")
                self.known[epoch] = exports["srtp key"] + exports["srtp salt"], exports["srtp mki"]
            elif kind == "send":
                self.sending = epoch
            elif kind == "retired":
                self.known.pop(epoch, None)
            else:
                return
            self.changed = True
            self.lock.notify_all()

    def wait_for(self, mki, seconds):
        """Waits for the key of an MKI."""
        with self.lock:
            self.lock.wait_for(lambda: any(held == mki for _, held in self.known.values()), seconds)

    def news(self):
        """The held keys and the epoch to send with, if either changed since the last call."""
        with self.lock:
            if not self.changed:
                return None
            self.changed = False
            return dict(self.known), self.sending


class Sender:
    """Encodes a tone, packs it as RTP, protects it and sends it to the multicast address."""

    def __init__(self, keys, address, port):
        self.keys = keys
        self.sequences = collections.defaultdict(list)
        self.mki = None
        self.pipeline = Gst.parse_launch(
            f"audiotestsrc is-live=true samplesperbuffer={SAMPLES_PER_PACKET} ! audio/x-raw,rate=8000,channels=1 "
            "! mulawenc ! rtppcmupay name=pay seqnum-offset=1000 min-ptime=0 max-ptime=5000000 "
            f"! srtpenc name=srtp rtp-cipher={SUITE[0]} rtp-auth={SUITE[1]} rtcp-cipher={SUITE[0]} rtcp-auth={SUITE[1]} "
            f"! udpsink host={address} port={port} multicast-iface=lo auto-multicast=true ttl-mc=0 sync=false"
        )
        self.srtp = self.pipeline.get_by_name("srtp")
        self.pipeline.get_by_name("pay").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.packet)

    def packet(self, _pad, info):
        # In the streaming thread, between two packets: key and MKI cannot be seen half changed.
        self.switch()
        self.sequences[self.mki.hex()].append(sequence_of(bytes_of(info.get_buffer())))
        return Gst.PadProbeReturn.OK

    def switch(self):
        news = self.keys.news()
        if news is None:
            return
        known, epoch = news
        if epoch not in known or known[epoch][1] == self.mki:
            return
        key, self.mki = known[epoch]
        self.srtp.set_property("key", Gst.Buffer.new_wrapped(key))
        self.srtp.set_property("mki", Gst.Buffer.new_wrapped(self.mki))
        say("switched", epoch=epoch, mki=self.mki.hex())

    def ready(self):
        """Whether there is a key to begin with."""
        self.switch()
        return self.mki is not None

    def end(self):
        """Sends what is counted already before it ends, if it has begun: whether the end is to be waited for."""
        return self.mki is not None and self.pipeline.send_event(Gst.Event.new_eos())

    def report(self):
        return {"sent": self.sequences}


class Receiver:
    """Hears every packet of the multicast address and counts those that srtpdec lets through."""

    def __init__(self, keys, address, port):
        self.keys = keys
        self.known = {}
        self.ssrc = None
        self.heard = collections.defaultdict(list)
        self.decoded = collections.defaultdict(list)
        self.mki_of = {}
        self.waited_for = set()
        self.pipeline = Gst.parse_launch(
            f"udpsrc address={address} port={port} multicast-iface=lo auto-multicast=true buffer-size=4194304 "
            "caps=application/x-srtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0 "
            "! srtpdec name=srtp ! fakesink sync=false async=false"
        )
        self.srtp = self.pipeline.get_by_name("srtp")
        for signal_name in ("request-key", "hard-limit", "soft-limit"):
            self.srtp.connect(signal_name, self.request_key)
        self.srtp.get_static_pad("rtp_sink").add_probe(Gst.PadProbeType.BUFFER, self.arrived)
        self.srtp.get_static_pad("rtp_src").add_probe(Gst.PadProbeType.BUFFER, self.passed)

    def arrived(self, _pad, info):
        packet = bytes_of(info.get_buffer())
        ssrc = int.from_bytes(packet[8:12], "big")
        mki = packet[-TAG_LENGTH - MKI_LENGTH : -TAG_LENGTH]
        if mki not in self.waited_for:
            # The key may be in the pipe still: what arrives meanwhile waits in the socket's buffer. Once for each key.
            self.waited_for.add(mki)
            self.keys.wait_for(mki, PATIENCE)
        news = self.keys.news()
        if news is not None:
            # srtpdec asks for keys once a stream: forget the stream, so that it asks again.
            self.known = news[0]
            self.srtp.emit("remove-key", ssrc)
        self.mki_of[sequence_of(packet)] = mki.hex()
        self.heard[mki.hex()].append(sequence_of(packet))
        return Gst.PadProbeReturn.OK

    def passed(self, _pad, info):
        sequence = sequence_of(bytes_of(info.get_buffer()))
        self.decoded[self.mki_of[sequence]].append(sequence)
        return Gst.PadProbeReturn.OK

    def request_key(self, _element, ssrc):
        cipher, auth = SUITE
        fields = [f"application/x-srtp,ssrc=(uint){ssrc}"]
        fields += [f"srtp-cipher=(string){cipher},srtp-auth=(string){auth}"]
        fields += [f"srtcp-cipher=(string){cipher},srtcp-auth=(string){auth}"]
        for number, (key, mki) in enumerate(self.known.values(), start=1):
            suffix = "" if number == 1 else str(number)
            fields += [f"srtp-key{suffix}=(buffer){key.hex()},mki{suffix}=(buffer){mki.hex()}"]
        return Gst.Caps.from_string(",".join(fields))

    def ready(self):
        """A receiver listens from the start, keys or not."""
        return True

    def end(self):
        """What has not come by now is not waited for."""
        return False

    def report(self):
        return {"heard": self.heard, "decoded": self.decoded}


def main():
    role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    Gst.init(None)
    keys = Keys()
    peer = {"send": Sender, "receive": Receiver}[role](keys, address, port)
    loop = GLib.MainLoop()

    def start():
        if not peer.ready():
            return True
        peer.pipeline.set_state(Gst.State.PLAYING)
        say("playing")
        return False

    def failed(_bus, message):
        say("error", message=message.parse_error()[0].message)
        loop.quit()

    def read_keys():
        for line in sys.stdin:
            keys.take(json.loads(line))

    bus = peer.pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", failed)
    GLib.timeout_add(20, start)
    bus.connect("message::eos", lambda *_: loop.quit())
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, lambda: peer.end() or loop.quit())
    threading.Thread(target=read_keys, daemon=True).start()
    loop.run()
    peer.pipeline.set_state(Gst.State.NULL)
    say("report", **peer.report())


if __name__ == "__main__":
    main()
