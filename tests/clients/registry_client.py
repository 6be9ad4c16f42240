"""Does what applications do with a schema registry, with Confluent's own client. Argument: URL."""

import json
import sys
from decimal import Decimal

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.schema_registry_client import ConfigCompatibilityLevel, ServerConfig
from confluent_kafka.serialization import MessageField, SerializationContext

SUBJECT = "python bets/ä-value"


def bet(*more_fields):
    amount = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}
    fields = [{"name": "id", "type": "long"}, {"name": "amount", "type": ["null", amount], "default": None}]
    return Schema(json.dumps({"type": "record", "name": "Bet", "fields": fields + list(more_fields)}), "AVRO")


def refused(code, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except SchemaRegistryError as error:
        assert error.error_code == code, (error.error_code, code, str(error))
    else:
        raise AssertionError(f"{call.__name__} was not refused with {code}")


def registered(client):
    first = client.register_schema(SUBJECT, bet())
    assert client.register_schema(SUBJECT, bet()) == first
    assert client.register_schema("python copy", bet(), normalize_schemas=True) == first
    second = client.register_schema(SUBJECT, bet({"name": "game", "type": "string", "default": ""}))
    assert second != first
    refused(409, client.register_schema, SUBJECT, bet({"name": "game", "type": "long", "default": 0}))
    refused(42201, client.register_schema, SUBJECT, Schema('{"type": "record"}', "AVRO"))
    refused(42201, client.register_schema, SUBJECT, Schema("{}", "JSON"))
    return first, second


def looked_up(client, first, second):
    assert json.loads(client.get_schema(first).schema_str) == json.loads(bet().schema_str)
    found = client.lookup_schema(SUBJECT, bet())
    assert (found.schema_id, found.version, found.subject) == (first, 1, SUBJECT)
    latest = client.get_latest_version(SUBJECT)
    assert (latest.schema_id, latest.version) == (second, 2)
    assert client.get_version(SUBJECT, 1).schema_id == first
    assert client.get_versions(SUBJECT) == [1, 2]
    assert sorted(client.get_subjects()) == ["python bets/ä-value", "python copy"]
    assert client.get_subjects(subject_prefix="python b") == [SUBJECT]
    assert client.get_subjects(offset=1, limit=1) == ["python copy"]
    assert client.get_subjects_by_schema_id(first) == ["python bets/ä-value", "python copy"]
    assert {(v.subject, v.version) for v in client.get_schema_versions(first)} == {(SUBJECT, 1), ("python copy", 1)}
    assert client.get_referenced_by(SUBJECT, 1) == []
    assert client.get_schema_types() == ["AVRO"]
    assert client.get_contexts() == ["."]
    assert client.get_global_mode() == "READWRITE"
    refused(40401, client.get_versions, "python nothing")
    refused(40402, client.get_version, SUBJECT, 9)
    refused(40403, client.get_schema, 99999)


def configured(client):
    shorter = Schema('{"type": "record", "name": "Bet", "fields": []}', "AVRO")
    assert client.get_compatibility() == "BACKWARD"
    assert client.test_compatibility(SUBJECT, shorter)
    assert client.set_compatibility(SUBJECT, "FULL_TRANSITIVE") == {"compatibility": "FULL_TRANSITIVE"}
    assert client.get_compatibility(SUBJECT) == "FULL_TRANSITIVE"
    assert not client.test_compatibility(SUBJECT, shorter)
    assert not client.test_compatibility_all_versions(SUBJECT, shorter)
    assert client.get_config(SUBJECT).compatibility_level == "FULL_TRANSITIVE"
    client.delete_config(SUBJECT)
    refused(40408, client.get_config, SUBJECT)
    client.set_config(config=ServerConfig(compatibility=ConfigCompatibilityLevel.NONE))
    assert client.get_compatibility() == "NONE"
    client.delete_config()
    assert client.get_compatibility() == "BACKWARD"


def encoded_and_decoded(url):
    client = SchemaRegistryClient({"url": url})
    context = SerializationContext("python-topic", MessageField.VALUE)
    row = {"id": 20000, "amount": Decimal("0.10")}
    message = AvroSerializer(client, bet().schema_str)(row, context)
    assert AvroDeserializer(SchemaRegistryClient({"url": url}))(message, context) == row


def deleted(client):
    refused(40405, client.delete_subject, SUBJECT, permanent=True)
    refused(40407, client.delete_version, SUBJECT, 1, permanent=True)
    assert client.delete_version(SUBJECT, 1) == 1
    refused(40406, client.delete_version, SUBJECT, 1)
    assert client.get_versions(SUBJECT) == [2]
    assert client.get_versions(SUBJECT, deleted=True) == [1, 2]
    assert client.delete_version(SUBJECT, 1, permanent=True) == 1
    assert client.delete_subject(SUBJECT) == [2]
    refused(40404, client.delete_subject, SUBJECT)
    assert client.get_subjects(deleted=True, subject_prefix=SUBJECT) == [SUBJECT]
    assert client.delete_subject(SUBJECT, permanent=True) == [2]
    refused(40401, client.delete_subject, SUBJECT)


def main(url):
    client = SchemaRegistryClient({"url": url})
    first, second = registered(client)
    looked_up(SchemaRegistryClient({"url": url}), first, second)
    configured(client)
    deleted(SchemaRegistryClient({"url": url}))
    encoded_and_decoded(url)


main(sys.argv[1])
