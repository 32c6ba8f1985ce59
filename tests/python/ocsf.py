"""Checks events, a JSON array on standard input, against the schema of OCSF that each names in metadata.version, or against 1.5.0.

Writes what was checked, as JSON, and ends with 0; or what is wrong, a line each, and ends with 1. The schema is OCSF's own, as the
package ocsf-json-schema brings it along: classes allow no attribute that they do not have, and require those that they require.
"""

import json
import sys
from collections import Counter

from jsonschema import Draft202012Validator
from ocsf_json_schema.embedded import OcsfJsonSchemaEmbedded
from ocsf_json_schema.loader import get_ocsf_schema

DEFAULT = "1.5.0"
schemas = {}
validators = {}


def validator(version, class_uid):
    """That of a class, made once: each brings along all objects that it refers to."""
    if version not in schemas:
        schemas[version] = OcsfJsonSchemaEmbedded(get_ocsf_schema(version))
    if (version, class_uid) not in validators:
        schema = schemas[version]
        name = schema.lookup_class_name_from_uid(class_uid)
        validators[version, class_uid] = Draft202012Validator(schema.get_class_schema(name))
    return validators[version, class_uid]


def faults(event):
    """What is wrong with an event; what the schema does not say of numbers that belong together is checked besides."""
    version = event.get("metadata", {}).get("version", DEFAULT)
    for error in validator(version, event["class_uid"]).iter_errors(event):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    if event.get("type_uid") != event["class_uid"] * 100 + event["activity_id"]:
        yield "type_uid: is not class_uid * 100 + activity_id"


events = json.load(sys.stdin)
wrong = [f"event {at}: {fault}" for at, event in enumerate(events) for fault in faults(event)]
if wrong:
    print("\n".join(wrong))
    sys.exit(1)
classes = Counter(str(event["class_uid"]) for event in events)
print(json.dumps({"events": len(events), "classes": classes}))
