#!/usr/bin/env python3
"""One item of each type in the three encodings of KMIP, laid out from the standard with struct alone.

    python3 tests/vectors/kmip/values.py > tests/vectors/kmip/values.json

Nothing here shares code with the Rust implementation: agreement between the two is what the vectors are for. Each has
the binary form in hexadecimal, JSON on one line, and XML on one line; all three are what is to be written.
"""

import json
import struct

TYPES = ["Structure", "Integer", "LongInteger", "BigInteger", "Enumeration", "Boolean", "TextString", "ByteString",
         "DateTime", "Interval", "DateTimeExtended"]
FORMATS = {"Integer": ">i", "LongInteger": ">q", "Enumeration": ">I", "Boolean": ">Q", "DateTime": ">q",
           "Interval": ">I", "DateTimeExtended": ">q"}


def item(tag, kind, value):
    """Tag, type, length, value, zeros."""
    if kind in FORMATS:
        value = struct.pack(FORMATS[kind], value)
    elif kind == "TextString":
        value = value.encode()
    head = tag.to_bytes(3, "big") + bytes([TYPES.index(kind) + 1]) + struct.pack(">I", len(value))
    return head + value + bytes(-len(value) % 8)


def number(value, groups):
    """A big integer of so many groups of eight bytes."""
    return value.to_bytes(8 * groups, "big", signed=True)


VECTORS = []


def vector(name, ttlv, in_json, in_xml):
    VECTORS.append({"name": name, "ttlv": ttlv.hex(), "json": json.dumps(in_json, separators=(",", ":"),
                                                                         ensure_ascii=False), "xml": in_xml})


def scalar(name, tag, called, kind, value, in_json, in_xml):
    element = called if not called.startswith("0x") else f'TTLV tag="{called}"'
    vector(name, item(tag, kind, value), {"tag": called, "type": kind, "value": in_json},
           f'<{element} type="{kind}" value="{in_xml}"/>')


COUNT, CORRELATION, STATUS, REASON = 0x42000D, 0x420105, 0x42007F, 0x42007E
scalar("integer", COUNT, "BatchCount", "Integer", 7, 7, "7")
scalar("integer, negative", COUNT, "BatchCount", "Integer", -1, -1, "-1")
scalar("integer, the least", COUNT, "BatchCount", "Integer", -(2 ** 31), -(2 ** 31), "-2147483648")
scalar("mask", 0x42002C, "CryptographicUsageMask", "Integer", 0xC, "Encrypt|Decrypt", "Encrypt Decrypt")
scalar("mask without bits", 0x42002C, "CryptographicUsageMask", "Integer", 0, 0, "0")
scalar("mask with bits that have no name", 0x42002C, "CryptographicUsageMask", "Integer", 0x11000001,
       "Sign|0x11000000", "Sign 0x11000000")
scalar("mask with the bit of the sign", 0x42008E, "StorageStatusMask", "Integer", -(2 ** 31) | 2,
       "ArchivalStorage|0x80000000", "ArchivalStorage 0x80000000")
scalar("long integer", 0x420097, "UsageLimitsTotal", "LongInteger", 2 ** 52 - 1, 2 ** 52 - 1, "4503599627370495")
scalar("long integer that JavaScript has not", 0x420097, "UsageLimitsTotal", "LongInteger", 2 ** 52,
       "0x0010000000000000", "4503599627370496")
scalar("long integer, negative", 0x420097, "UsageLimitsTotal", "LongInteger", -(2 ** 63), "0x8000000000000000",
       "-9223372036854775808")
scalar("big integer", 0x42006C, "PublicExponent", "BigInteger", number(65537, 1), 65537, "0000000000010001")
scalar("big integer, negative", 0x42006C, "PublicExponent", "BigInteger", number(-2, 1), -2, "fffffffffffffffe")
scalar("big integer, longer than it needs to be", 0x42006C, "PublicExponent", "BigInteger", number(65537, 2),
       "0x00000000000000000000000000010001", "00000000000000000000000000010001")
scalar("big integer, long", 0x420052, "Modulus", "BigInteger", number(2 ** 127 - 1, 2), "0x7f" + "ff" * 15,
       "7f" + "ff" * 15)
scalar("enumeration", STATUS, "ResultStatus", "Enumeration", 0, "Success", "Success")
scalar("enumeration, a vendor's", REASON, "ResultReason", "Enumeration", 0x8000000A, "0x8000000a", "0x8000000a")
scalar("enumeration of a tag that has none", 0x540003, "0x540003", "Enumeration", 5, "0x00000005", "0x00000005")
scalar("enumeration of tags", 0x42013B, "AttributeReference", "Enumeration", 0x42008D, "State", "State")
scalar("enumeration whose name begins with a digit", 0x420028, "CryptographicAlgorithm", "Enumeration", 2, "DES3",
       "DES3")
scalar("enumeration that is called differently than its tag", 0x420102, "MaskGeneratorHashingAlgorithm", "Enumeration",
       6, "SHA_256", "SHA_256")
scalar("boolean, true", 0x420026, "CriticalityIndicator", "Boolean", 1, True, "true")
scalar("boolean, false", 0x420026, "CriticalityIndicator", "Boolean", 0, False, "false")
scalar("text", CORRELATION, "ClientCorrelationValue", "TextString", "room 7", "room 7", "room 7")
scalar("text, empty", CORRELATION, "ClientCorrelationValue", "TextString", "", "", "")
scalar("text of eight bytes", CORRELATION, "ClientCorrelationValue", "TextString", "eight888", "eight888", "eight888")
scalar("text of more than ASCII", CORRELATION, "ClientCorrelationValue", "TextString", "Größe \U0001f511",
       "Größe \U0001f511", "Größe \U0001f511")
scalar("text of signs that mean something", CORRELATION, "ClientCorrelationValue", "TextString",
       "<a b=\"c\" d='e'> & \\ /\t\r\n ", "<a b=\"c\" d='e'> & \\ /\t\r\n ",
       "&lt;a b=&quot;c&quot; d='e'&gt; &amp; \\ /&#9;&#13;&#10; ")
scalar("byte string", 0x420043, "KeyMaterial", "ByteString", bytes(range(5)), "0001020304", "0001020304")
scalar("byte string, empty", 0x420043, "KeyMaterial", "ByteString", b"", "", "")
scalar("date", 0x420092, "TimeStamp", "DateTime", 1709251199, "2024-02-29T23:59:59+00:00",
       "2024-02-29T23:59:59+00:00")
scalar("date before 1970", 0x420092, "TimeStamp", "DateTime", -1, "1969-12-31T23:59:59+00:00",
       "1969-12-31T23:59:59+00:00")
scalar("date that has no four digits for its year", 0x420092, "TimeStamp", "DateTime", 253402300800,
       "0x0000003afff44180", "0x0000003afff44180")
scalar("interval", 0x420049, "LeaseTime", "Interval", 2 ** 32 - 1, 2 ** 32 - 1, "4294967295")
scalar("date, extended", 0x420092, "TimeStamp", "DateTimeExtended", 1709251199000001, 1709251199000001,
       "1709251199000001")
scalar("date, extended, that JavaScript has not", 0x420092, "TimeStamp", "DateTimeExtended", -(2 ** 52),
       "0xfff0000000000000", "-4503599627370496")
scalar("tag of a vendor", 0x54ABCD, "0x54abcd", "Integer", 1, 1, "1")
scalar("tag that is not defined", 0x42FFFF, "0x42ffff", "Integer", 1, 1, "1")

vector("structure, empty", item(0x420079, "Structure", b""), {"tag": "RequestPayload", "value": []},
       "<RequestPayload/>")
vector("structure of a vendor, empty", item(0x540001, "Structure", b""), {"tag": "0x540001", "value": []},
       '<TTLV tag="0x540001"/>')
version = item(0x42006A, "Integer", 2) + item(0x42006B, "Integer", 1)
vector("structure", item(0x420069, "Structure", version),
       {"tag": "ProtocolVersion", "value": [{"tag": "ProtocolVersionMajor", "type": "Integer", "value": 2},
                                            {"tag": "ProtocolVersionMinor", "type": "Integer", "value": 1}]},
       '<ProtocolVersion><ProtocolVersionMajor type="Integer" value="2"/>'
       '<ProtocolVersionMinor type="Integer" value="1"/></ProtocolVersion>')


def attribute(name, called, kind, value, written, in_json=None):
    """An attribute of KMIP 1.x, whose value has the names of another tag."""
    parts = item(0x42000A, "TextString", called) + item(0x42000B, kind, value)
    vector(name, item(0x420008, "Structure", parts),
           {"tag": "Attribute", "value": [{"tag": "AttributeName", "type": "TextString", "value": called},
                                          {"tag": "AttributeValue", "type": kind, "value": in_json or written}]},
           f'<Attribute><AttributeName type="TextString" value="{called}"/>'
           f'<AttributeValue type="{kind}" value="{written}"/></Attribute>')


attribute("attribute that is an enumeration", "Cryptographic Algorithm", "Enumeration", 3, "AES")
attribute("attribute that is a mask", "Cryptographic Usage Mask", "Integer", 3, "Sign Verify", "Sign|Verify")
attribute("attribute of a vendor", "x-Colour", "Enumeration", 3, "0x00000003")

print(json.dumps(VECTORS, indent=1, ensure_ascii=False))
