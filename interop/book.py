"""The book of tests: their names, and what each is and needs."""

from dataclasses import dataclass

from phone import Failed

TESTS = {}


@dataclass(frozen=True)
class Test:
    function: object
    arguments: tuple
    # How many accounts it needs.
    accounts: int = 4
    # How long it may take, in seconds.
    limit_s: int = 180
    # "call": many at once. "load": one after another, for SIPp takes a message that comes again
    # because somebody was slow for a failure. "long": beside all others.
    kind: str = "call"


def test(name, *arguments, **more):
    """Enters the function under this name, to be called with these arguments."""

    def enter(function):
        assert name not in TESTS, name
        TESTS[name] = Test(function, arguments, **more)
        return function

    return enter


def every(names, *choices, **more):
    """Enters the function once for each choice; `names` is a format for its name."""

    def enter(function):
        for choice in choices:
            test(names.format(*choice), *choice, **more)(function)
        return function

    return enter


def same(what, found, *wanted):
    if found not in wanted:
        raise Failed(f"{what}: {found}, not {' or '.join(map(str, wanted))}")
