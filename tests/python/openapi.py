"""Checks an OpenAPI description, and answers of the interface that it describes.

The description is the file that the one argument names. On standard input comes an answer a line, as JSON: method, path (as the
description writes it), status, body, and the body of the request if it had one that was right.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

HERE = "urn:description"


def pointer(*parts):
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in parts)
    return f"{HERE}#/" + "/".join(escaped)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    validate(document)
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry = Registry().with_resource(HERE, resource)

    def check(reference, body):
        Draft202012Validator({"$ref": reference}, registry=registry).validate(body)

    checked = 0
    for line in sys.stdin:
        answer = json.loads(line)
        method, path, status = answer["method"].lower(), answer["path"], str(answer["status"])
        operation = document["paths"][path][method]
        if status in operation["responses"]:
            place = ("paths", path, method, "responses", status, "content", "application/json", "schema")
        else:
            assert int(status) >= 400, f"{method} {path} is not described to answer {status}"
            place = ("components", "responses", "Failure", "content", "application/json", "schema")
        check(pointer(*place), answer["body"])
        if answer.get("request") is not None:
            place = ("paths", path, method, "requestBody", "content", "application/json", "schema")
            check(pointer(*place), answer["request"])
        checked += 1
    print(json.dumps({"checked": checked}))


if __name__ == "__main__":
    main()
