"""The defaults of the schema, for tests that change some of them: nothing else has any."""

from pathlib import Path
from typing import Any

import yaml

from clusterfirst.plan.settings import resolve

_SCHEMA = Path(__file__).resolve().parent.parent / "workflow/schemas/config.schema.yaml"
SETTINGS = resolve({}, yaml.safe_load(_SCHEMA.read_text(encoding="utf-8")))


def section(name: str, **changes: Any) -> dict[str, Any]:
    """A section of the configuration, with some values changed."""
    values = getattr(SETTINGS, name)
    assert changes.keys() <= values.keys(), f"{name} has no {changes.keys() - values.keys()}"
    return {**values, **changes}
