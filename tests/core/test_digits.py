from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import digits

numbers = st.one_of(
    st.integers(min_value=-(2**80), max_value=2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    # Negative zero is no NUMERIC of PostgreSQL: as JSON it would be the integer 0.
    st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: str(number) != "-0"),
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=6))
def test_data_is_the_same_bytes_again(data: dict[str, Any]) -> None:
    body = digits.encode(data)
    assert digits.encode(digits.decode(body)) == body


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(("1.5", float), ("1e22", float), ("1e-7", float), ("-0.0", float), ("5e-324", float)),
        *(("1.50", Decimal), ("1E+2", Decimal), ("0E-8", Decimal), ("1E+400", Decimal)),
        *(("0.1234567890123456789", Decimal), ("7", int), ("1180591620717411303424", int)),
    ],
)
def test_a_number_is_a_float_where_that_is_written_the_same(text: str, kind: type) -> None:
    body = b'{"n":%b}' % text.encode()
    data = digits.decode(body)
    assert type(data["n"]) is kind
    assert digits.encode(data) == body
