from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Start
    from tests.e2e.running import Running


def test_the_pasted_line_shows_the_market_move(appliance: Running) -> None:
    line = appliance.hello.strip().splitlines()[-1].strip()

    with subprocess.Popen(["sh", "-c", f"exec {line} --silent"], stdout=subprocess.PIPE, text=True) as curl:
        assert curl.stdout is not None
        prices = [text for text in (curl.stdout.readline() for _ in range(200)) if '"price_update"' in text]
        curl.terminate()

    assert len(prices) > 50


def test_a_stop_drains_and_ends_with_status_0(start: Start) -> None:
    running = start()

    assert running.stop() == 0
    assert running.log[-1]["event"] == "stopped"
