"""Files that appear whole or not at all, work in flight, and the log."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from clusterfirst.io import (
    array_on_disk,
    atomic,
    bounded_map,
    drawn_ahead,
    read_json,
    read_metadata,
    write_array,
    write_json,
    write_table,
)


@pytest.fixture
def python(repo):
    """Start a Python that finds the library."""
    environment = os.environ | {"PYTHONPATH": str(repo / "workflow" / "scripts")}

    def start(code: str, *arguments) -> subprocess.Popen:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_whole(tmp_path):
    target = tmp_path / "new" / "deep" / "out.txt"
    with atomic(target) as part:
        part.write_text("half")
        assert not target.exists()
        assert part.suffix == ".txt"
    assert target.read_text() == "half"
    assert names(target.parent) == ["out.txt"]


@pytest.mark.parametrize("directory", [False, True])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_what_was_there_and_nothing_else(tmp_path, directory, kind):
    with atomic(tmp_path / "out", directory=directory) as part:
        (part / "x" if directory else part).write_text("old")

    def fail():
        with atomic(tmp_path / "out", directory=directory) as part:
            (part / "y" if directory else part).write_text("new")
            raise kind

    with pytest.raises(kind):
        fail()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "x" if directory else tmp_path / "out").read_text() == "old"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("old", "new"):
        with atomic(tmp_path / "out", directory=True) as part:
            (part / name).write_text(name)
    assert names(tmp_path / "out") == ["new"]
    assert names(tmp_path) == ["out"]


KILLED = """
import sys, time
from pathlib import Path
from clusterfirst.io import atomic
directory = sys.argv[2] == "True"
with atomic(sys.argv[1], directory=directory) as part:
    (part / "half" if directory else part).write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("directory", [False, True])
def test_what_a_killed_process_leaves_is_hidden_and_removed_by_the_next(tmp_path, python, directory):
    def write(text: str) -> None:
        with atomic(tmp_path / "out.txt", directory=directory) as part:
            (part / "file" if directory else part).write_text(text)

    def content() -> str:
        return (tmp_path / "out.txt" / "file" if directory else tmp_path / "out.txt").read_text()

    write("old")
    with python(KILLED, tmp_path / "out.txt", directory) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert content() == "old"
    hidden, visible = names(tmp_path)
    assert hidden.startswith(".out.txt.part-")
    assert visible == "out.txt"
    write("new")
    assert content() == "new"
    assert names(tmp_path) == ["out.txt"]


def test_two_processes_that_write_the_same_file_leave_each_other_alone(python, tmp_path):
    """As when a scheduler was killed, and its job lives on while a new one does the same."""
    with python(KILLED, tmp_path / "out.txt", False) as process:
        assert process.stdout.readline() == "writing\n"
        hidden = names(tmp_path)[0]
        with atomic(tmp_path / "out.txt") as part:
            part.write_text("new")
        assert names(tmp_path) == [hidden, "out.txt"]
        process.kill()
    with atomic(tmp_path / "out.txt") as part:
        part.write_text("newer")
    assert names(tmp_path) == ["out.txt"]


def test_leftovers_of_other_files_are_not_touched(tmp_path):
    (tmp_path / ".b.txt.part-1").touch()
    with atomic(tmp_path / "a.txt") as part:
        part.touch()
    assert names(tmp_path) == [".b.txt.part-1", "a.txt"]


def test_json_is_utf8_and_refuses_nan(tmp_path):
    write_json({"größe": [1, 2.5, None]}, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == {"größe": [1, 2.5, None]}
    assert "größe" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json({"x": float("nan")}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["größe"][1] == 2.5
    assert names(tmp_path) == ["a.json"]


def test_a_table_keeps_its_metadata_and_stays_readable_for_pandas(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[7, 9])
    write_table(frame, tmp_path / "t.parquet", {"slide": {"mpp": 0.5}})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), frame.reset_index(drop=True))
    assert read_metadata(tmp_path / "t.parquet") == {"slide": {"mpp": 0.5}}
    frame.to_parquet(tmp_path / "foreign.parquet")
    assert read_metadata(tmp_path / "foreign.parquet") == {}


def test_an_array_can_be_memory_mapped(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    write_array(array, tmp_path / "a.npy")
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, array)


@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_results_come_in_order_and_few_are_under_way(ahead):
    lock, running, most_running, drawn = threading.Lock(), 0, 0, 0
    release = threading.Semaphore(0)

    def items():
        nonlocal drawn
        for item in range(20):
            drawn += 1
            yield item

    def work(item: int) -> int:
        nonlocal running, most_running
        with lock:
            running += 1
            most_running = max(most_running, running)
        # The later, the sooner done: order must come from the map.
        release.acquire(timeout=0.002 * (20 - item))
        with lock:
            running -= 1
        return item * item

    results = []
    with ThreadPoolExecutor(16) as pool:
        for result in bounded_map(pool, work, items(), ahead=ahead):
            results.append(result)
            assert drawn <= len(results) + ahead
    assert results == [item * item for item in range(20)]
    assert most_running <= ahead


def test_an_error_in_flight_reaches_the_caller():
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        list(bounded_map(pool, lambda item: 1 / item, [2, 1, 0, 1, 1], ahead=2))


def test_what_is_drawn_ahead_comes_in_order_from_a_thread_of_its_own():
    threads = set()

    def items():
        for item in range(50):
            threads.add(threading.get_ident())
            yield item

    assert list(drawn_ahead(items(), ahead=3)) == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_items_are_drawn_while_nobody_asks_and_no_more_than_wanted():
    drawn, third = [], threading.Event()

    def items():
        for item in range(100):
            drawn.append(item)
            if len(drawn) == 4:
                third.set()
            yield item

    stream = drawn_ahead(items(), ahead=2)
    assert next(stream) == 0
    assert third.wait(20), "nothing is drawn until somebody asks"
    time.sleep(0.05)
    assert len(drawn) == 4  # the first, two ahead, and one that waits for room
    assert next(stream) == 1
    stream.close()
    assert len(drawn) <= 5


def test_an_error_while_drawing_ahead_comes_in_its_place():
    def items():
        yield from (1, 2)
        raise KeyError("cheese")

    stream = drawn_ahead(items(), ahead=5)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="cheese"):
        next(stream)


def test_what_draws_is_closed_with_what_takes():
    closed = []

    def items(name):
        try:
            yield from range(100)
        finally:
            closed.append(name)

    inner = drawn_ahead(items("inner"), ahead=1)
    stream = drawn_ahead((item for item in inner), ahead=1)
    next(stream)
    before = threading.active_count()
    stream.close()
    inner.close()
    assert closed == ["inner"]
    assert threading.active_count() == before - 2


LOGGED = """
import logging, sys, warnings
from clusterfirst.io import ClusterfirstError, log_to
log_to(sys.argv[1])
logging.getLogger("clusterfirst.somewhere").info("reading")
warnings.warn("something is deprecated")
def inner():
    raise {error}
inner()
"""


def ended(process: subprocess.Popen) -> tuple[int, str]:
    with process:
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_an_error_of_the_users_is_shown_plainly_and_logged_in_full(tmp_path, python):
    path = tmp_path / "logs" / "run.log"
    code, shown = ended(python(LOGGED.format(error="ClusterfirstError('slide a: mend it so')"), path))
    logged = path.read_text(encoding="utf-8")
    assert code != 0
    assert shown.splitlines()[-1].endswith("slide a: mend it so")
    assert "reading" in shown
    assert "Traceback" not in shown
    assert "inner" not in shown
    assert "slide a: mend it so" in logged
    assert "Traceback" in logged
    assert "in inner" in logged
    assert "something is deprecated" in logged


def test_an_unexpected_error_is_shown_and_logged_in_full(tmp_path, python):
    code, shown = ended(python(LOGGED.format(error="RuntimeError('out of cheese')"), tmp_path / "run.log"))
    assert code != 0
    for text in (shown, (tmp_path / "run.log").read_text(encoding="utf-8")):
        assert "unexpected RuntimeError: out of cheese" in text
        assert "in inner" in text


def test_the_log_starts_anew_with_every_run(tmp_path, python):
    (tmp_path / "run.log").write_text("yesterday")
    ended(python(LOGGED.format(error="SystemExit(0)"), tmp_path / "run.log"))
    assert "yesterday" not in (tmp_path / "run.log").read_text()


def test_a_slow_reader_is_no_reason_to_compute_ahead():
    started = []
    with ThreadPoolExecutor(4) as pool:
        stream = bounded_map(pool, started.append, range(100), ahead=4)
        next(stream)
        time.sleep(0.05)
        assert len(started) <= 5
        stream.close()


@pytest.mark.parametrize("shape", [(5, 3), (0, 3)])
def test_an_array_on_disk_appears_when_it_is_whole(tmp_path, shape):
    path = tmp_path / "folder" / "a.npy"
    with array_on_disk(path, shape, "float16") as array:
        assert not path.exists()
        assert isinstance(array, np.memmap)
        array[...] = np.arange(array.size).reshape(shape)
    found = np.load(path)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.arange(found.size).reshape(shape))


def test_an_array_on_disk_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones(2))
    with pytest.raises(KeyError), array_on_disk(path, (3,), "float32"):
        raise KeyError
    assert np.load(path).tolist() == [1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]
