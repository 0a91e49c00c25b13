"""Hypothesis strategies for the structs of `domain` and `protocol`, read off their annotations."""

from __future__ import annotations

import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")
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
    """Return a strategy for any value of this type, by its annotations.

    Of the limits in `msgspec.Meta` it keeps the patterns of texts and the bounds of whole numbers that have two. The
    caller sees to the others.
    """
    if kind in _LEAVES:
        return _LEAVES[kind]
    if get_origin(kind) is Annotated:
        plain, *metas = get_args(kind)
        limited = [found for meta in metas if (found := _limited(plain, meta)) is not None]
        return limited[0] if limited else values(plain)
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of(*map(values, get_args(kind)))
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if parts[-1] is not ...:
            return st.tuples(*map(values, parts))
        return st.lists(values(parts[0]), max_size=3).map(tuple)
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        return st.dictionaries(values(key), values(value), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    assert issubclass(kind, msgspec.Struct), kind
    return st.builds(
        kind,
        **{
            field: values(hint)
            for field, hint in get_type_hints(kind, include_extras=True).items()
            if field in kind.__struct_fields__
        },
    )


def _limited(plain: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any] | None:
    """Return a strategy that keeps the limits. None: there are none, or none that it can keep."""
    if meta.pattern is not None:
        return st.from_regex(meta.pattern, fullmatch=True)
    if plain is int and meta.ge is not None and meta.le is not None:
        return st.integers(int(meta.ge), int(meta.le))
    if plain is float and meta.ge is not None and meta.le is not None:
        return st.floats(float(meta.ge), float(meta.le))
    return None


def shares(
    strategy: st.SearchStrategy[T], labels: Callable[[T], Iterable[str]], examples: int = 200
) -> dict[str, float]:
    """Return for each label how often a value of the strategy has it, from 0 to 1.

    A property that matters only for values with a label says nothing if hardly any value has it.
    """
    found: Counter[str] = Counter()
    tried = 0

    @settings(max_examples=examples, database=None, derandomize=True, phases=[Phase.generate], deadline=None)
    @given(strategy)
    def look(value: T) -> None:
        nonlocal tried
        tried += 1
        found.update(set(labels(value)))

    look()
    return defaultdict(float, {label: count / tried for label, count in found.items()})
