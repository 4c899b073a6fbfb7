"""What Python's json module makes of texts: one in hex a line. Answers two verdicts a line, as JSON: the variables of
`upload --json`, and those of an environment document; null when it is none.

Python takes lone surrogates, which no UTF-8 can say, and numbers beyond a float's range for infinite. Both are
refused here. It tells keys that are there twice; what is thought of them is the test's."""

import json
import math
import sys


class Object(list):
    """An object as the pairs that it was written with."""


def refuse(text):
    raise ValueError(text)


def parsed(data):
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=Object, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def is_text(value):
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def flat(value):
    is_flat = isinstance(value, Object) and all(is_text(name) and is_text(text) for name, text in value)
    return value if is_flat else None


def is_metadata(value):
    def is_said(said):
        return is_text(said) or type(said) is int or (type(said) is float and math.isfinite(said))

    names = [name for name, _ in value] if isinstance(value, Object) else None
    return (
        names is not None
        and len(set(names)) == len(names)
        and all(is_text(name) and is_said(said) for name, said in value)
    )


def document(value):
    if not isinstance(value, Object) or sorted(name for name, _ in value) != ["environment", "metadata"]:
        return None
    parts = dict(value)
    return flat(parts["environment"]) if is_metadata(parts["metadata"]) else None


for line in sys.stdin:
    value = parsed(bytes.fromhex(line))
    print(json.dumps([flat(value), document(value)]))
