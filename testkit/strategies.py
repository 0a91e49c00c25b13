"""Hypothesis strategies for the structs of `domain` and `protocol`, read off their annotations."""

from __future__ import annotations

import types
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

TEXT = st.text(max_size=20)
FINITE = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)  # SQLite knows no -0.0
INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
PLAIN = st.none() | st.booleans() | INTEGERS | FINITE | TEXT

_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    float: FINITE,
    int: INTEGERS,
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    type(None): st.none(),
    Any: PLAIN,
}


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of this type, as far as its annotation says; limits in `msgspec.Meta` are the caller's matter."""
    if kind in _LEAVES:
        return _LEAVES[kind]
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of(*map(values, get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        return st.dictionaries(values(key), values(value), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    assert issubclass(kind, msgspec.Struct), kind
    return st.builds(
        kind, **{field: values(hint) for field, hint in get_type_hints(kind).items() if field in kind.__struct_fields__}
    )
