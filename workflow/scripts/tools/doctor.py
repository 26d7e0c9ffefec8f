"""Check whether everything is there that a run needs: ``python doctor.py [--slurm] [--configfile FILE …]``.

Not part of the workflow; for people. It needs nothing but Python to begin with, for the rest may be what is broken.
"""

import argparse
import os
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))


def main():
    """Print what is found as it is found; return 1 if something would keep the workflow from running."""
    if sys.version_info < (3, 11):  # noqa: UP036 - what the environment should be made with is not what it was made with
        sys.exit("problem   Python: {}.{} is too old: use 3.11 or newer".format(*sys.version_info))
    from clusterfirst.health import doctor
    from clusterfirst.io import ClusterfirstError, print_anything
    from clusterfirst.paths import written_out
    from clusterfirst.text import counted

    print_anything()
    parser = argparse.ArgumentParser(description="Check whether everything is there that a run needs.")
    parser.add_argument("--configfile", nargs="+", default=[], help="as given to snakemake")
    parser.add_argument("--slurm", action="store_true", help="jobs are to go to Slurm: it must be well, too")
    parser.add_argument("--directory", default=".", help="where snakemake is started (here)")
    asked = parser.parse_args()
    try:
        os.chdir(written_out(asked.directory))
        own = list(map(written_out, asked.configfile))
    except (ClusterfirstError, OSError) as error:
        sys.exit(f"doctor: {error}")
    files = [path for path in ["config/config.yaml"] if Path(path).is_file()] + own
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    counts = dict.fromkeys(("ok", "note", "problem"), 0)
    for finding in doctor.examine(files, SCRIPTS.parent, on_slurm=asked.slurm):
        print(doctor.lines(finding, colour=colour), flush=True)
        counts[finding.level] += 1
    print(f"\n{counted(counts['problem'], 'problem')}, {counted(counts['note'], 'note')}, {counts['ok']} ok")
    return 1 if counts["problem"] else 0


if __name__ == "__main__":
    sys.exit(main())
