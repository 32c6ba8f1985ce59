"""The Python member's keys and messages against the vectors in tests/vectors, and those against the CDDL of the rustdoc."""

import asyncio
import hashlib
import json
import re
import unittest
from pathlib import Path

import cbor2
import channel
import epochs
import keys
import pycddl
import wire
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

REPOSITORY = Path(__file__).resolve().parent.parent.parent
VECTORS = REPOSITORY / "tests" / "vectors"
SPECIFICATION = REPOSITORY / "src" / "group" / "wire" / "spec" / "messages.rs"


def vectors(name):
    return json.loads((VECTORS / name).read_text())


def private_key(scalar):
    return ec.derive_private_key(int(scalar, 16), ec.SECP256R1())


class PushChannel(unittest.TestCase):
    given = vectors("channel.json")

    def pushes(self):
        given = self.given["push key"]
        key = channel.push_key(bytes.fromhex(given["root"]))
        self.assertEqual(key.hex(), given["key"])
        pushes = channel.Pushes()
        pushes.hold(1, key)
        self.assertEqual(pushes.names[1].hex(), given["name"])
        return pushes

    def test_sealed_pushes_open_under_the_key_of_their_epoch(self):
        pushes = self.pushes()
        for case in self.given["sealed"]:
            datagram = bytes.fromhex(case["datagram"])
            self.assertTrue(channel.is_datagram(datagram))
            self.assertEqual(pushes.open(datagram).hex(), case["message"])
            for at in range(0, len(datagram), 7):
                changed = bytearray(datagram)
                changed[at] ^= 1
                self.assertIsNone(pushes.open(bytes(changed)))
            self.assertIsNone(pushes.open(datagram[:30]))
        pushes.drop(1)
        self.assertIsNone(pushes.open(datagram))

    def test_what_is_said_on_a_channel(self):
        given = self.given["channel"]
        own = channel.Channel(given["number"], bytes.fromhex(given["key"]))
        acknowledge, probe = given["acknowledge"], given["probe"]
        self.assertEqual(own.acknowledge(acknowledge["epoch"]).hex(), acknowledge["hex"])
        probe = bytes.fromhex(probe["hex"])
        self.assertTrue(own.is_probed_by(probe))
        self.assertFalse(own.is_probed_by(probe[:-1] + bytes([probe[-1] ^ 1])))
        self.assertFalse(own.is_probed_by(bytes.fromhex(acknowledge["hex"])))
        away, leaves = bytes.fromhex(given["go away"]["hex"]), given["leaves"]
        self.assertEqual(own.sent_away_by(away).hex(), given["go away"]["message"])
        kind, body = wire.decode(own.sent_away_by(away))
        self.assertEqual((kind, body[0], len(body[1])), (wire.GO_AWAY, 2000, 2))
        for at in range(len(away)):
            changed = bytearray(away)
            changed[at] ^= 1
            self.assertIsNone(own.sent_away_by(bytes(changed)))
        self.assertIsNone(own.sent_away_by(probe))
        self.assertEqual(own.leaves(leaves["epoch"]).hex(), leaves["hex"])
        bound = channel.context(bytes.fromhex(given["group"]), given["member"], given["number"])
        self.assertEqual(bound.hex(), given["exporter context"])
        self.assertEqual(channel.LABEL.decode(), given["exporter label"])


class Suite1(unittest.TestCase):
    suite = vectors("suite1.json")

    def test_node_keys_ratchet(self):
        given = self.suite["derivations"]
        seed = keys.cbc(bytes.fromhex(given["master"]), bytes.fromhex(given["nonce"]))
        self.assertEqual(seed.hex(), given["seed"])
        for node in given["nodes"]:
            data = b"WCnode" + bytes([node["level"], 0])
            data += node["index"].to_bytes(4, "big") + node["generation"].to_bytes(4, "big")
            base = keys.cbc(seed, data + bytes.fromhex(given["group"]))
            self.assertEqual(keys.ratchet(base, node["step"]).hex(), node["key"])

    def test_wraps(self):
        for case in self.suite["wraps"]:
            kek, key, wrapped = (bytes.fromhex(case[name]) for name in ("kek", "key", "wrapped"))
            self.assertEqual(aes_key_unwrap(kek, wrapped), key)
            self.assertEqual(aes_key_wrap(kek, key), wrapped)

    def test_confirmation_tags(self):
        for case in self.suite["confirmations"]:
            tag = keys.confirmation_tag(bytes.fromhex(case["root"]), bytes.fromhex(case["prefix"]))
            self.assertEqual(tag.hex(), case["tag"])

    def test_exports(self):
        for case in self.suite["exports"]:
            root, group, context = (bytes.fromhex(case[name]) for name in ("root", "group", "context"))
            value = keys.export(root, group, int(case["epoch"]), case["label"], context, case["length"])
            if "value" in case:
                self.assertEqual(value.hex(), case["value"])
            else:
                self.assertEqual(hashlib.sha256(value).hexdigest(), case["value_sha256"])

    def test_grants(self):
        for case in self.suite["grants"]:
            bound, wrapped = bytes.fromhex(case["transcript"]), bytes.fromhex(case["wrapped"])
            member = private_key(case["member_scalar"])
            self.assertEqual(keys.public_point(member).hex(), case["member_public"])
            leaf = keys.open_grant(member, bytes.fromhex(case["issuer_public"]), bound, wrapped)
            self.assertEqual(leaf.hex(), case["leaf"])

    def test_key_identifiers(self):
        for case in self.suite["signatures"]:
            self.assertEqual(keys.key_id(bytes.fromhex(case["public"])).hex(), case["key_id"])


class Wire(unittest.TestCase):
    golden = vectors("wire.json")

    def all(self):
        for section in ("requests", "responses", "pushes", "push replies"):
            for vector in self.golden[section]:
                yield section, vector["name"], bytes.fromhex(vector["hex"])

    def test_messages_encode_to_what_they_decode_from(self):
        for _, name, data in self.all():
            with self.subTest(name):
                kind, body = wire.decode(data)
                self.assertEqual(wire.encode(kind, body), data)

    def test_damaged_messages_are_refused(self):
        for _, name, data in self.all():
            with self.subTest(name):
                for damaged in (data[:-1], data + b"\x00", b"\x9f" + data[1:] + b"\xff"):
                    self.assertRaises(wire.Malformed, wire.decode, damaged)

    def test_edges_name_their_parents(self):
        kind, body = wire.decode(bytes.fromhex(self.golden["pushes"][0]["hex"]))
        self.assertEqual(kind, wire.REKEY)
        first, second, third = wire.edges(body, 3)
        self.assertEqual(first.parent, second.child)
        self.assertEqual(second.parent.node, third.child.node)

    def test_names(self):
        names = self.golden["names"]
        for case in names["spi"]:
            self.assertEqual(keys.spi(bytes.fromhex(case["group"]), case["epoch"]), case["spi"])
        signing = bytes.fromhex(names["key id"]["signing"])
        self.assertEqual(keys.key_id(signing).hex(), names["key id"]["key id"])
        bound = bytes.fromhex(names["grant transcript"]["hex"])
        _, _, group, member, leaf, public, agreement = cbor2.loads(bound)
        again = keys.transcript(group, member, wire.KeyRef.of(leaf), public, agreement)
        self.assertEqual(again, bound)

    def test_the_transcript_of_suite_2_ends_before_the_ciphertext(self):
        name = "grant transcript in suite 2, before the ciphertext"
        ciphertext = bytes(range(256)) * 4 + bytes(64)
        whole = cbor2.loads(bytes.fromhex(self.golden["names"][name]) + ciphertext)
        self.assertEqual((whole[1], len(whole[5]), len(whole[6]), whole[7]), (2, 1216, 32, ciphertext))


class Cddl(unittest.TestCase):
    """The CDDL of the rustdoc describes every golden message."""

    golden = vectors("wire.json")

    @classmethod
    def setUpClass(cls):
        block = re.search(r"//! ```cddl\n(.*?)//! ```", SPECIFICATION.read_text(), re.DOTALL).group(1)
        text = "\n".join(line.removeprefix("//!").removeprefix(" ") for line in block.splitlines())
        # The validator mistakes the inner of two nested `.cbor` for the outer: what is in byte strings is checked by itself.
        cls.text = re.sub(r"(\S+-bytes = bytes) \.cbor \S+", r"\1", text)

    def validates(self, rule, data):
        pycddl.Schema(f"start = {rule}\n{self.text}").validate_cbor(data)

    def test_messages(self):
        rules = {"requests": "request", "responses": "response", "pushes": "push", "push replies": "push-reply"}
        for section, rule in rules.items():
            for vector in self.golden[section]:
                with self.subTest(vector["name"]):
                    self.validates(rule, bytes.fromhex(vector["hex"]))

    def test_header(self):
        data = bytes.fromhex(self.golden["epoch header"]["header"]["hex"])
        self.validates("header", data)
        protected, _, payload, _ = cbor2.loads(data).value
        self.validates("protected-map", protected)
        self.validates("epoch-body", payload)

    def test_header_of_suite_2(self):
        data = bytes.fromhex(self.golden["epoch header in suite 2"]["header"]["hex"])
        self.validates("header", data)
        protected, _, payload, _ = cbor2.loads(data).value
        self.validates("protected-map", protected)
        self.validates("epoch-body", payload)
        self.assertEqual(cbor2.loads(payload)[8], 2)

    def test_what_is_no_message_does_not_validate(self):
        with self.assertRaises(pycddl.ValidationError):
            self.validates("request", wire.encode(wire.STATUS, {1: "group"}))
        with self.assertRaises(pycddl.ValidationError):
            self.validates("request", wire.encode(wire.GRANTED, {0: "group"}))


class Deliveries(unittest.TestCase):
    """One member's deliveries, from its grant to its eviction."""

    given = vectors("member.json")

    def registration(self):
        kind, body = wire.decode(bytes.fromhex(self.given["steps"][0]["message"]))
        self.assertEqual(kind, wire.GRANTED)
        return keys.Registration.granted(body, private_key(self.given["member scalar"]))

    def deliver(self, registration, message, damage=None):
        kind, body = wire.decode(bytes.fromhex(message))
        if kind == wire.REKEY:
            header, edges = body[1], wire.edges(body, 3)
        else:
            path = body[8] if kind == wire.GRANTED else body
            header, edges = path[0], wire.edges(path, 1)
        if damage:
            header, edges = damage(header, edges)
        return registration.deliver(header, edges)

    def test_each_opens_or_needs_the_path(self):
        export = self.given["export"]
        registration = self.registration()
        for step in self.given["steps"]:
            with self.subTest(step["what"]):
                if "exported" not in step:
                    held = dict(registration.nodes)
                    with self.assertRaises(keys.NeedsPath):
                        self.deliver(registration, step["message"])
                    self.assertEqual(registration.nodes, held)
                    continue
                header = self.deliver(registration, step["message"])
                self.assertEqual(header.epoch, step["epoch"])
                value = registration.export(
                    header.epoch, export["label"], bytes.fromhex(export["context"]), export["length"]
                )
                self.assertEqual(value.hex(), step["exported"])
                self.assertIsNone(self.deliver(registration, step["message"]), "a repetition changes nothing")

    def test_damage_is_found_and_changes_nothing(self):
        def wrong(header, at):
            return header[:at] + bytes([header[at] ^ 1]) + header[at + 1 :]

        steps = self.given["steps"]
        registration = self.registration()
        for step in steps[:3]:
            self.deliver(registration, step["message"])
        message, held = steps[3]["message"], dict(registration.nodes)
        for at in (0, 5, 12, 20, 40, 60, -1, -70):
            with self.subTest(at), self.assertRaises(keys.BadHeader):
                self.deliver(registration, message, lambda header, edges: (wrong(header, at % len(header)), edges))
        for lost in (0, 1):
            with self.assertRaises(keys.NeedsPath):
                self.deliver(registration, message, lambda header, edges: (header, edges[:lost] + edges[lost + 1 :]))
        self.assertEqual(registration.nodes, held)
        self.assertEqual(self.deliver(registration, message).epoch, steps[3]["epoch"])

    def test_clocks(self):
        registration, told = self.registration(), []

        async def follow():
            clock = epochs.Epochs(lambda event, **details: told.append((event, details["epoch"])), registration.drop)
            for step in self.given["steps"][:3]:
                clock.install(self.deliver(registration, step["message"]))
            clock.activate(2)
            clock.activate(1)
            for step in self.given["steps"][3:5]:
                clock.install(self.deliver(registration, step["message"]))
            clock.retire_before(4)
            clock.end()

        asyncio.run(follow())
        # An earlier epoch is not activated again; of more than three the oldest goes, but never the active one.
        self.assertEqual(told, [("active", 2), ("retired", 1), ("retired", 3), ("retired", 2)])
        self.assertEqual(sorted(registration.roots), [4, 5])


if __name__ == "__main__":
    unittest.main()
