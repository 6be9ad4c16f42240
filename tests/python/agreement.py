"""Reads files, amounts and times as Python does: what Roundhouse reads is compared with it.

Usage: agreement.py MANIFEST, a JSON file
  {"files": [{"path", "encoding", "delimiter"}], "amounts": ["12.5"], "times": ["2019-10-22 08:20:41"],
   "zones": {"Europe/Malta": PATH of its rules}, "local_times": ["2019-10-22 08:20"],
   "precision": 28, "scale": 8, "last_millis": 4291747199999}
Prints {"files": [[[line, [field, ...]], ...], ...], "amounts": ["1250000000" or null, ...], "times": [millis or null, ...],
"zones": {"Europe/Malta": [seconds of UTC or null, ...]}}:
an amount is unscaled, as text; null is what is no amount of that precision and scale, or no time in range.
"""

import csv
import json
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def records(path, encoding, delimiter):
    with open(path, encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        found = []
        line = 1
        for fields in reader:
            # A blank line is no record.
            if fields:
                found.append([line, fields])
            line = reader.line_num + 1
        return found


def amount(text, precision, scale):
    try:
        unscaled = Fraction(Decimal(text)) * 10**scale
    except InvalidOperation:
        return None
    if unscaled.denominator != 1 or abs(unscaled) >= 10**precision:
        return None
    return str(unscaled.numerator)


def millis(text, last):
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    found = (time - EPOCH) // timedelta(milliseconds=1)
    return found if 0 <= found <= last else None


def utc_seconds(zone, text):
    """Seconds since 1970 of a local time; None if the clocks of the zone showed it twice or never."""
    local = datetime.fromisoformat(text)
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return (local.replace(tzinfo=timezone.utc) - first - EPOCH) // timedelta(seconds=1) if first == second else None


def zone(path):
    with open(path, "rb") as file:
        return ZoneInfo.from_file(file)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        manifest = json.load(file)
    csv.field_size_limit(1 << 24)
    precision, scale = manifest["precision"], manifest["scale"]
    json.dump({
        "files": [records(file["path"], file["encoding"], file["delimiter"]) for file in manifest["files"]],
        "amounts": [amount(text, precision, scale) for text in manifest["amounts"]],
        "times": [millis(text, manifest["last_millis"]) for text in manifest["times"]],
        "zones": {
            name: [utc_seconds(rules, text) for text in manifest["local_times"]]
            for name, rules in ((name, zone(path)) for name, path in manifest["zones"].items())
        },
    }, sys.stdout)


main()
