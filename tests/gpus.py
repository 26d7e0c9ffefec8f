"""A machine with GPUs, as far as nvidia-smi says."""

import os
from pathlib import Path

UUIDS = ("GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-0000-0000-0000-000000000000")

SMI = """#!/bin/sh
echo "0, {}"
echo "1, {}"
"""


def two_gpus(folder: Path) -> dict:
    """Return an environment in which nvidia-smi lists two GPUs; `folder` holds it, and all claims."""
    (folder / "bin").mkdir()
    smi = folder / "bin/nvidia-smi"
    smi.write_text(SMI.format(*UUIDS))
    smi.chmod(0o755)
    return os.environ | {"PATH": f"{smi.parent}:{os.environ['PATH']}", "TMPDIR": str(folder)}
