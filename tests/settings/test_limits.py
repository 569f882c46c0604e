from __future__ import annotations

import attrs
import pytest

from appliance.settings.limits import LimitSettings, ListenLimits


@pytest.mark.parametrize("field", attrs.fields(ListenLimits), ids=lambda field: str(field.name))
def test_what_a_listener_can_limit_is_limited_in_general(field: attrs.Attribute[int | None]) -> None:
    assert field.default is None
    assert getattr(LimitSettings(), field.name) >= 1


@pytest.mark.parametrize(("ipv4", "ipv6"), [(33, 64), (7, 64), (32, 129)])
def test_a_prefix_is_one(ipv4: int, ipv6: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        LimitSettings(ipv4_prefix=ipv4, ipv6_prefix=ipv6)


def test_one_address_cannot_take_all_places() -> None:
    limits = LimitSettings()
    assert limits.connections_per_address < limits.connections
