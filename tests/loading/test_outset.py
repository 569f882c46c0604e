"""What is loaded for a process's life, in a process that has loaded nothing yet."""

from tests.anew import printed


def told(code: str) -> str:
    return printed(f"import gc\nfrom appliance.loading.outset import lightly\n{code}")


def test_garbage_is_looked_for_again_but_not_among_what_was_loaded() -> None:
    code = (
        "with lightly('tested'):\n    import attrs, trio\n    print(gc.isenabled())\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    assert told(code).split() == ["False", "True", "True"]


def test_where_all_is_loaded_already_garbage_stays_garbage() -> None:
    code = (
        "with lightly('tested'):\n    import attrs\nkept = gc.get_freeze_count()\n"
        "with lightly('tested'):\n    import attrs\nprint(gc.get_freeze_count() == kept)"
    )
    assert told(code) == "True"


def test_a_module_that_does_not_load_leaves_nothing_switched_off() -> None:
    code = "try:\n    with lightly('tested'):\n        import nowhere\nexcept ImportError:\n    print(gc.isenabled())"
    assert told(code) == "True"
