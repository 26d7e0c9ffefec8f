"""Files that appear only when whole, metadata inside them, logs and progress: what every stage needs."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from .text import spreadsheet

log = logging.getLogger("clusterfirst")

METADATA_KEY = b"clusterfirst"

ORIGIN = re.compile(r"on (?P<host>\S+), process (?P<pid>\d+)(?:, Slurm job (?P<job>\S+))?")
"""The first line of a log: where the job runs, so that others can find out whether it still does."""
AWAITED = "made; its own job takes it"
"""The last line of the log of a stage whose files are made, and lie aside until a job takes them (see `small`)."""


class ClusterfirstError(Exception):
    """Something the user can mend. The message says what is wrong, where, and what to do."""


@contextmanager
def atomic(path: str | os.PathLike, *, directory: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it once the block has ended well.

    A killed process leaves only a dot-file behind, which the next attempt removes. Jobs that outlive a killed scheduler
    do no harm: each process has a temporary path of its own, and the last to finish wins.

    Parameters
    ----------
    path
        Where the result is to appear. Parent folders are made.
    directory
        Make the temporary path a folder. An existing folder at `path` is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.part-*"):
        if not _is_alive(leftover.name.removeprefix(f".{path.name}.part-").split(".")[0]):
            _remove(leftover)
    # The suffix stays last: writers such as matplotlib and numpy choose the format by it.
    part = path.with_name(f".{path.name}.part-{os.getpid()}{path.suffix}")
    if directory:
        part.mkdir()
    try:
        yield part
        if directory:
            _remove(path)
        else:
            _to_disk(part)
        os.replace(part, path)
    finally:
        _remove(part)


@contextmanager
def atomic_all(paths: Sequence[str | os.PathLike]) -> Iterator[list[Path]]:
    """Yield a temporary path beside each of `paths`. All are on disk before the first is renamed; see `atomic`."""
    with ExitStack() as stack:
        parts = [stack.enter_context(atomic(path)) for path in paths]
        yield parts
        for part in parts:
            _to_disk(part)


def _is_alive(pid: str) -> bool:
    """Whether a process of that number, other than this one, is at work on this machine."""
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's, who got the number of the one that left the file.
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """A rename may reach the disk before the data does; a power cut would then leave an empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: str | os.PathLike) -> None:
    """Have the names in a folder on disk: a new file is not safe before its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reserve(path: Path) -> None:
    """Take the room on the disk that a mapped file has on paper; where it fills up later, the process is killed."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def write_json(data: Any, path: str | os.PathLike, *, indent: int | None = 1) -> None:
    """Write `data` as UTF-8 JSON, atomically. NaN is refused: it is not JSON."""
    with atomic(path) as part, part.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=indent, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(table, path: str | os.PathLike, metadata: dict | None = None) -> None:
    """Write a pandas data frame or Arrow table as Parquet, atomically.

    Parameters
    ----------
    table
        A ``pandas.DataFrame`` or ``pyarrow.Table``.
    path
        The Parquet file.
    metadata
        Kept as JSON under the key ``clusterfirst`` of the schema metadata; read it with `read_metadata`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    kept = dict(table.schema.metadata or {})
    kept[METADATA_KEY] = to_json(metadata or {})
    with atomic(path) as part:
        pq.write_table(table.replace_schema_metadata(kept), part, compression="zstd")


def write_csv(
    table, path: str | os.PathLike, *, float_format: str | None = None, numbers: Collection[str] = ()
) -> None:
    """Write a pandas data frame as CSV for people, atomically: no text in it is a formula (see `text.spreadsheet`).

    Parameters
    ----------
    table
        A ``pandas.DataFrame``; its index is left out.
    path
        The file.
    float_format
        Such as ``%.4f``.
    numbers
        Columns whose texts are numbers, or no formulas for another reason: they are written as they are.
    """
    import pandas as pd

    texts = {
        name: pd.Series(map(spreadsheet, values), index=table.index, dtype=object)
        for name, values in table.items()
        if values.dtype.kind == "O" and name not in numbers
    }
    with atomic(path) as part:
        table.assign(**texts).rename(columns=spreadsheet).to_csv(
            part, index=False, float_format=float_format, encoding="utf-8"
        )


def to_json(metadata: dict) -> bytes:
    """Return metadata as it is stored in Parquet files, the same for the same values."""
    return json.dumps(metadata, sort_keys=True).encode()


def read_metadata(path: str | os.PathLike) -> dict:
    """Return what is stored as `metadata` (see `write_table`), or an empty dict."""
    import pyarrow.parquet as pq

    stored = pq.read_metadata(path).metadata or {}
    return json.loads(stored.get(METADATA_KEY, b"{}"))


def write_array(array, path: str | os.PathLike) -> None:
    """Write a NumPy array as ``.npy`` (memory-mappable), atomically."""
    import numpy as np

    with atomic(path) as part:
        np.save(part, array)


@contextmanager
def array_on_disk(path: str | os.PathLike, shape: tuple[int, ...], dtype) -> Iterator:
    """Yield an array whose memory is a ``.npy`` file, which appears at `path` once the block has ended well."""
    import numpy as np

    with atomic(path) as part:
        array = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
        _reserve(part)
        yield array
        array.flush()


def progress(items: Iterable, *, total: int, what: str, every: float = 30.0) -> Iterator:
    """Yield `items`, showing a bar on a terminal and, in the log, a line every `every` seconds."""
    from tqdm import tqdm

    start = last = time.monotonic()
    with tqdm(total=total, desc=what, unit="", disable=not sys.stderr.isatty(), leave=False) as bar:
        for done, item in enumerate(items, start=1):
            yield item
            bar.update()
            now = time.monotonic()
            if now - last >= every and done < total:
                last = now
                left = (now - start) / done * (total - done)
                log.info("%s: %d of %d (%.0f%%), about %.0f s left", what, done, total, 100 * done / total, left)
    log.info("%s: %d in %.1f s", what, total, time.monotonic() - start)


def bounded_map(pool: Executor, function: Callable, items: Iterable, *, ahead: int) -> Iterator:
    """Map over a pool in order, with at most `ahead` items under way, so that results do not pile up in memory."""
    waiting = iter(items)
    under_way = deque(pool.submit(function, item) for item in islice(waiting, ahead))
    while under_way:
        result = under_way.popleft().result()
        under_way.extend(pool.submit(function, item) for item in islice(waiting, 1))
        yield result


def drawn_ahead(items: Iterable, *, ahead: int) -> Iterator:
    """Yield items that a thread of their own draws, up to `ahead` before they are asked for.

    What makes them goes on while whoever takes them is at something else. What it raises is raised here, in its place
    in the order. Once this is closed, nothing more is drawn; one item may be on its way then, and is waited for.
    """
    found: SimpleQueue = SimpleQueue()
    room, closed = threading.Semaphore(ahead), threading.Event()

    def draw() -> None:
        try:
            for item in items:
                room.acquire()
                if closed.is_set():
                    return
                found.put((item, None))
        except BaseException as error:  # noqa: BLE001 - whoever takes the items is told
            found.put((None, error))
        else:
            found.put((None, StopIteration()))
        finally:
            if hasattr(items, "close"):
                items.close()

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        while True:
            item, error = found.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            room.release()
            yield item
    finally:
        closed.set()
        room.release()
        thread.join()


def print_anything() -> None:
    """Let a terminal or pipe that knows few letters show others as numbers, where Python would end with an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def check_names(names: Iterable[str]) -> None:
    """Refuse names of files that Python writes otherwise than they are, for it takes their letters from the locale.

    Raises
    ------
    ClusterfirstError
        A name is not plain ASCII, and names are not taken for UTF-8.
    """
    encoding = sys.getfilesystemencoding()
    odd = [] if encoding.lower() in ("utf-8", "utf8") else [name for name in names if not name.isascii()]
    if odd:
        raise ClusterfirstError(
            f"{odd[0]!a}: Python takes names of files for {encoding} here (LC_ALL, LANG, PYTHONUTF8), and would not "
            "find this one. Start the same command with PYTHONUTF8=1 in the environment"
        )


def log_to(path: str | os.PathLike | None) -> None:
    """Send log records to `path` and to the terminal, and record an uncaught exception before the process ends.

    A `ClusterfirstError` is shown to the user as its message alone; the traceback goes to the log file.
    """
    print_anything()
    silence()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    layout = ("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
    for handler in handlers:
        handler.setFormatter(logging.Formatter(*layout))
    log.setLevel(logging.INFO)
    log.propagate = False
    # On the terminal that would be noise.
    log.handlers[:] = handlers[1:]
    if path:
        log.info("%s", _origin())
    log.handlers[:] = handlers
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers[:] = handlers[1:]

    def record(kind, error, trace):
        if issubclass(kind, ClusterfirstError):
            handlers[0].setFormatter(_MessageOnly(*layout))
            log.error("%s", error, exc_info=(kind, error, trace))
        else:
            log.error("unexpected %s: %s", kind.__name__, error, exc_info=(kind, error, trace))

    sys.excepthook = record


def silence() -> None:
    """Close the log, and say nothing more until `log_to` opens another: a process may do the work of many."""
    for handler in log.handlers:
        handler.close()
    log.handlers[:] = []
    logging.getLogger("py.warnings").handlers[:] = []


def _origin() -> str:
    """Machine and process, as `ORIGIN` reads them; a job in an array of Slurm as squeue and its log files call it."""
    job, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    job = f"{job}_{task}" if job and task else os.environ.get("SLURM_JOB_ID")
    return f"on {socket.gethostname()}, process {os.getpid()}" + (f", Slurm job {job}" if job else "")


class _MessageOnly(logging.Formatter):
    """Leaves the traceback out."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = None
        return super().format(plain)
