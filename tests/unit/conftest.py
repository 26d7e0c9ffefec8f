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


LOG = logging.getLogger("clusterfirst")
AS_IT_IS = LOG.handlers[:], LOG.level, LOG.propagate


@pytest.fixture(autouse=True)
def log_as_it_is():
    """What other tests, and what they share, did to the log, as jobs do to theirs, is over: some listen to it."""
    LOG.handlers[:], LOG.propagate = AS_IT_IS[0], AS_IT_IS[2]
    LOG.setLevel(AS_IT_IS[1])
