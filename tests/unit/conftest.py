"""What unit tests must leave alone."""

import logging

import pytest

from clusterfirst import engine


@pytest.fixture(scope="session", autouse=True)
def converted_networks(tmp_path_factory):
    """Networks of tests are kept where tests keep things, not in the user's folder of caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_folder", lambda: tmp_path_factory.getbasetemp() / "converted")
        yield


@pytest.fixture(autouse=True)
def log_as_it_was():
    """What a test does to the log, as jobs do to theirs, is over with it: others listen, too."""
    log = logging.getLogger("clusterfirst")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])
