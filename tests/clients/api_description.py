"""Checks the API description of a running server, and whether the server behaves as described.

    api_description.py URL DIRECTORY VALUES

VALUES is JSON with parameter values that exist on the server, by path and parameter name, so that requests find something
({"/uploads/{id}": {"id": ["01a1…"]}}). The script may write files into DIRECTORY.
"""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

# The same, limited number of requests every time.
SEED = "20261121"
MAX_EXAMPLES = "15"

# Usually half a minute; more on a busy machine.
MAX_SECONDS = 900

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
]


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def check_document(document):
    """The description is OpenAPI 3.1, and its examples match their schemas."""
    assert document["openapi"].startswith("3.1."), document["openapi"]
    OpenAPIV31SpecValidator(document).validate()
    checked = 0
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                examples = [named["value"] for named in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                schema = {**content["schema"], "components": document["components"]}
                for example in examples:
                    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
                    for error in validator.iter_errors(example):
                        raise AssertionError(f"{method} {path} {status} {media_type}: the example: {error}")
                    checked += 1
    return checked


def references(value, inside=False):
    """Returns the names of schemas that are used in an allOf, and so are only a part of another schema."""
    if isinstance(value, dict):
        if inside and "$ref" in value:
            yield value["$ref"].rsplit("/", 1)[1]
        for key, member in value.items():
            yield from references(member, inside or key == "allOf")
    elif isinstance(value, list):
        for item in value:
            yield from references(item, inside)


def tighten(document):
    """Forbids members that the description does not name. Clients must accept further members, so the description itself does not
    forbid them."""
    schemas = document["components"]["schemas"]
    parts = {name for schema in schemas.values() for name in references(schema.get("allOf", []), True)}
    for name, schema in schemas.items():
        if name not in parts and "additionalProperties" not in schema and (schema.get("type") == "object" or "allOf" in schema):
            schema["unevaluatedProperties"] = False


def add_values(document, values):
    """Makes requests use some values that exist on the server, in addition to random ones."""
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            known = values.get(path, {}).get(parameter["name"])
            if not known:
                continue
            schema = parameter["schema"]
            if schema.get("type") == "array":
                schema["items"] = {"anyOf": [{"enum": known}, schema["items"]]}
                parameter["example"] = known[:1]
            else:
                parameter["schema"] = {"anyOf": [{"enum": known}, schema]}
                parameter["example"] = known[0]


def main(url, directory, values):
    with urllib.request.urlopen(f"{url}/openapi.json") as answer:
        document = json.load(answer)
    examples = check_document(document)
    count = sum(1 for _ in operations(document))
    print(f"{count} operations, {examples} examples")
    tighten(document)
    add_values(document, values)
    path = Path(directory, "openapi.json")
    path.write_text(json.dumps(document))
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run", str(path), "--url", url,
        "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--seed", SEED,
        "--max-examples", MAX_EXAMPLES, "--generation-database", "none", "--suppress-health-check", "all",
        "--request-timeout", "30", "--continue-on-failure", "--warnings", "off",
    ]
    return subprocess.run(command, cwd=directory, timeout=MAX_SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
