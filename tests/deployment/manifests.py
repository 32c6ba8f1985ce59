"""Holds manifests for Kubernetes against its own schemas, all fields of which must be known, and prints what is wrong; 1 if anything is.

Usage: manifests.py VERSION FILE...

Kinds that are not Kubernetes' own have no schema here: those are named, so that whoever calls it knows which were not looked at.
"""

import pathlib
import sys

import kubernetes_validate
import yaml


def main():
    version, *files = sys.argv[1:]
    wrong = False
    for file in files:
        for document in yaml.safe_load_all(pathlib.Path(file).read_text()):
            what = f"{file}: {document.get('kind')}"
            try:
                kubernetes_validate.validate(document, version, strict=True)
                print(f"{what}: good")
            except kubernetes_validate.SchemaNotFoundError:
                print(f"{what}: no schema")
            except kubernetes_validate.ValidationError as error:
                wrong = True
                print(f"{what}: {'.'.join(str(part) for part in error.path)}: {error.message}")
    sys.exit(wrong)


main()
