"""What can be told of the control plane's composition without starting one; journeys start one."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.kit.errors import Invalid
from plinth.kit.home import Home
from plinth.server import holder_name
from plinth.store.leases import Holder


def test_each_control_plane_of_each_home_holds_leases_under_a_name_of_its_own() -> None:
    homes = [Home(Path("/a")), Home(Path("/b"))]
    names = {holder_name(home, name) for home in homes for name in Home.control_planes(3)}
    assert len(names) == 6
    assert holder_name(homes[0], "control") == holder_name(homes[0], "control")


def test_the_token_of_a_lease_fits_its_column() -> None:
    holder = Holder.begin(holder_name(Home(Path("/a")), "control-99"))
    assert len(f"{holder}.") + 10 <= 40


@pytest.mark.parametrize("name", ["", "other", "control-", "control-100", "control.x"])
def test_a_name_that_no_unit_has_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="names no control plane"):
        holder_name(Home(Path("/a")), name)
