"""What unit tests must leave alone."""

import pytest

from clusterfirst import engine


@pytest.fixture(scope="session", autouse=True)
def converted_networks(tmp_path_factory):
    """Networks of tests are kept where tests keep things, not in the user's folder of caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_folder", lambda: tmp_path_factory.getbasetemp() / "converted")
        yield
