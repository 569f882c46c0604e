"""What is loaded for a command that loads much, in a process that has loaded nothing yet."""

from tests.anew import printed


def told(code: str) -> str:
    return printed(f"import sys\nfrom appliance.cli.outset import lightly\n{code}")


def test_the_server_is_loaded_without_what_draws() -> None:
    code = "with lightly():\n    from appliance.cli import serving\nprint({'structlog', 'rich'} & set(sys.modules))"
    assert told(code) == "{'structlog'}"


def test_what_draws_can_be_loaded_afterwards() -> None:
    code = (
        "with lightly():\n    import structlog\nimport rich.console\nprint(rich.console.Console().width > 0)"
    )
    assert told(code) == "True"


def test_what_draws_stays_where_it_is_loaded() -> None:
    code = "import rich\nwith lightly():\n    import structlog\nprint(sys.modules['rich'] is rich)"
    assert told(code) == "True"
