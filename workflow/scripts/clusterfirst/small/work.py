"""What a job of a small image does: its own image, then others' until its time is over.

A process that has imported everything is too good for one image of 1,000 px. Whichever job comes first makes the files
of the next images, too, and leaves them where their own jobs find them. Each image still has a job of its own, which
fails alone: what somebody else could not make for it, it tries itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stderr

from .kept import Kept, remove, state, write

KILLED = 128
"""Shells say so many and the number of the signal of a process that was killed by one."""
MORE_MB = 1000
"""Networks that are loaded again and again leave something behind: a process ends before that is more than this."""


def job(folder: str, script: str, threads: int) -> int:
    """Do all of it, and return the exit status.

    What takes memory and time happens in a process of its own: if it is killed over somebody else's image, the job has
    its own all the same, for that was put in its place first.

    Parameters
    ----------
    folder
        See `Kept`.
    script
        The file that was started, to be started again with ``--work``.
    threads
        Of the job.
    """
    own = Kept(folder)
    if own.read_job() is None:
        print(f"{own.job} is missing: start snakemake again, it plans anew", file=sys.stderr)
        return 1
    # Of an earlier attempt.
    remove(own.taken)
    done = subprocess.run([sys.executable, script, "--work", folder, str(threads)], check=False)
    if os.path.exists(own.taken) or own.take():
        return 0
    if done.returncode < 0:
        _tell_of_death(own, -done.returncode)
        return KILLED - done.returncode
    if not done.returncode:
        print(f"a file that it reads was changed meanwhile: {', '.join(own.read_job()['reads'])}", file=sys.stderr)
    return done.returncode or 1


def _tell_of_death(own: Kept, signal: int) -> None:
    """Write into the log of the stage that was at work what happened to it."""
    words = f"it was killed (signal {signal}), most likely for want of memory, or by hand"
    print(words, file=sys.stderr)
    try:
        with open(own.begun, encoding="utf-8") as file:
            log = file.read()
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} ERROR {words}\n")
    except OSError:
        # It was killed before any stage began.
        pass


def work(folder: str, threads: int) -> None:
    """Make the files of one image; then those of others, as long as it is told to.

    Parameters
    ----------
    folder, threads
        See `job`.

    Raises
    ------
    Exception
        What its own image is in the way of; nothing of others.
    """
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    own = Kept(folder)
    plan = own.read_job()
    others = _others(own, plan, threads)
    with own.held() as alone:
        if alone:
            _make_own(own, plan, threads)
    if not alone:
        # Somebody is at it, and will be for a while; or this file system has no locks, and nobody else can be.
        next(others, None)
        with own.held(wait=True):
            _make_own(own, plan, threads)
    # Before it turns to others, which takes minutes: what its own is made of may be replaced, or it killed, meanwhile.
    own.take()
    end, most = time.monotonic() + 60 * plan["minutes"], _held_mb() + MORE_MB
    while time.monotonic() < end and _held_mb() < most and next(others, None):
        pass


def _make_own(own: Kept, plan: dict, threads: int) -> None:
    if own.is_made(plan):
        return
    own.forget()
    # Where people and `status` look for them; and for the job that takes all this, if it is another one.
    _make(own, plan, threads, logs=plan["logs"])
    os.makedirs(own.logs, exist_ok=True)
    for stage in plan["stages"]:
        shutil.copy(os.path.join(plan["logs"], stage["log"]), own.logs)


def _make(kept: Kept, plan: dict, threads: int, *, logs: str) -> None:
    """Run the stages of an image; what they make lies aside until its job takes it."""
    # Whoever only takes what is there need not wait for this.
    from .stages import run

    read = state(plan["reads"])
    for stage in plan["stages"]:
        log = os.path.join(logs, stage["log"])
        with open(kept.begun, "w", encoding="utf-8") as file:
            file.write(log)
        run(stage, log=log, threads=threads)
    remove(kept.begun)
    write(kept.done, {"key": plan["key"], "read": read})


def _others(own: Kept, plan: dict, threads: int) -> Iterator[bool]:
    """Make other images of the same kind, one each time it is asked, as long as there are some."""
    above, name = os.path.split(own.folder)
    names = sorted(os.listdir(above))
    # Jobs that work at the same time begin at different places.
    here, some = names.index(name), True
    while some:
        # Meanwhile others may have come to be open.
        some = False
        for other in names[here + 1 :] + names[:here]:
            kept = Kept(os.path.join(above, other))
            with kept.held() as held:
                asked = kept.read_job() if held else None
                if asked and asked["with"] == plan["with"] and _is_open(kept, asked):
                    _help(kept, asked, threads)
                    some = True
                    yield True


def _is_open(kept: Kept, plan: dict) -> bool:
    """Whether an image is still to be done, what it is made of is there and new, and nobody came to grief over it."""
    if any(os.path.exists(path) for path in (kept.taken, kept.failed, kept.begun)) or kept.is_made(plan):
        return False
    before = Kept(plan["after"]) if plan["after"] else None
    return before is None or not os.path.exists(before.job) or os.path.exists(before.taken)


def _help(kept: Kept, plan: dict, threads: int) -> None:
    """Make somebody else's image. If that fails, its own job will say so: here, nobody would look for it."""
    from ..io import silence

    kept.forget()
    tell = sys.excepthook
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            _make(kept, plan, threads, logs=kept.logs)
    except Exception:  # noqa: BLE001 - whatever a broken image leads to
        remove(kept.begun)
        write(kept.failed, None)
    finally:
        # What is said from here on is not said in that image's log.
        sys.excepthook = tell
        silence()


def _held_mb() -> float:
    """The memory that this process holds; 0 where that is not told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0


def _end_with_parent(parent: int) -> None:
    """Its job was killed: what it would make now, nobody waits for."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
