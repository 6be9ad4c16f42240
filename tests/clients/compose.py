"""Validates docker-compose.yml with the types of the Compose Specification and prints it as JSON. Argument: FILE."""

import json
import sys

import yaml
from compose_spec import PyCompose

with open(sys.argv[1], encoding="utf-8") as file:
    model = yaml.safe_load(file)
PyCompose.from_json(json.dumps(model))
print(json.dumps(model))
