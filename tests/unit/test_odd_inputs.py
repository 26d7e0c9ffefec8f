"""Inputs that were replaced, touched or copied anew, whatever their dates say."""

import json
import os

import pytest

from clusterfirst.plan import contents
from clusterfirst.plan.contents import KEY, UNTOLD, Contents, kept_in

LONG_AGO, LATER = (1_500_000_000,) * 2, (4_000_000_000,) * 2


def kept(*params):
    """Params as Snakemake keeps them."""
    return sorted(repr(one) for one in ({"tile_px": 512}, 0.5, *params) if one is not UNTOLD)


class Outlines:
    """A file, and what a later run says of it each time."""

    def __init__(self, folder):
        self.path, self.memory = folder / "outlines.geojson", folder / "contents.json"

    def write(self, text, times=LONG_AGO):
        self.path.write_text(text)
        os.utime(self.path, times)

    def param(self, params):
        run = Contents(self.memory)
        try:
            return run.param([str(self.path)], params)
        finally:
            run.save()


@pytest.fixture
def outlines(tmp_path, monkeypatch):
    # Files are written just now here, and are to count as settled.
    monkeypatch.setattr(contents, "_SETTLED_NS", -(10**18))
    file = Outlines(tmp_path)
    file.write("54 nuclei")
    return file


@pytest.mark.parametrize("times", [(1_400_000_000,) * 2, LONG_AGO, LATER], ids=["older", "same", "newer"])
@pytest.mark.parametrize("text", ["20 nuclei", "20 other nuclei"], ids=["as long", "longer"])
def test_a_file_that_was_replaced_is_known_whatever_its_date(outlines, text, times):
    before = kept(outlines.param(None))
    outlines.write(text, times)
    now = outlines.param(before)
    assert repr(now) not in before
    assert Contents(outlines.memory).replaced([str(outlines.path)], before) == [str(outlines.path)]
    # Done again, and nothing is to be done.
    assert repr(outlines.param(kept(now))) in kept(now)
    assert Contents(outlines.memory).replaced([str(outlines.path)], kept(now)) == []


def test_a_file_that_was_touched_or_copied_anew_is_the_same(outlines):
    before = kept(outlines.param(None))
    outlines.write("54 nuclei", LATER)
    assert repr(outlines.param(before)) in before
    outlines.path.unlink()
    outlines.write("54 nuclei", (1_000_000_000,) * 2)
    assert repr(outlines.param(before)) in before


def test_results_of_a_version_that_kept_nothing_are_not_made_again_until_the_file_changes(outlines):
    of_before = kept()
    assert outlines.param(of_before) is UNTOLD
    outlines.write("54 nuclei", LATER)
    assert outlines.param(of_before) is UNTOLD
    outlines.write("20 nuclei")
    now = outlines.param(of_before)
    assert now is not UNTOLD
    assert repr(outlines.param(kept(now))) in kept(now)


def test_a_file_is_read_once(outlines, monkeypatch):
    before = kept(outlines.param(None))
    monkeypatch.setattr(contents, "content", lambda path: pytest.fail("it was read again"))
    assert repr(outlines.param(before)) in before


def test_a_file_that_changed_just_now_is_read_again(outlines, monkeypatch):
    monkeypatch.setattr(contents, "_SETTLED_NS", 10**18)
    before = kept(outlines.param(None))
    read = []
    monkeypatch.setattr(contents, "content", lambda path: read.append(path) or "sha256:1")
    outlines.param(before)
    assert read


def test_a_damaged_memory_costs_reading_only(outlines):
    before = kept(outlines.param(None))
    for text in ("", "[]", '{"a": 1}', '{"a": {"b": 1}}', "\0"):
        outlines.memory.write_text(text)
        assert repr(outlines.param(before)) in before
    assert list(json.loads(outlines.memory.read_text())) == [str(outlines.path)]


def test_what_is_not_there_changes_nothing(outlines):
    before = kept(outlines.param(None))
    outlines.path.unlink()
    assert repr(outlines.param(before)) in before
    assert outlines.param(None) is UNTOLD
    assert Contents(outlines.memory).replaced([str(outlines.path)], before) == []


def test_a_job_that_read_nothing_from_outside_and_now_does(outlines):
    nothing = kept(Contents(outlines.memory).param([], None))
    assert kept_in(nothing) == []
    assert repr(outlines.param(nothing)) not in nothing
    assert Contents(outlines.memory).replaced([str(outlines.path)], nothing) == [str(outlines.path)]


def test_of_large_files_a_sample_from_one_end_to_the_other_is_hashed(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "WHOLE_BYTES", 1000)
    path, size = tmp_path / "slide.svs", contents.PIECES * contents.PIECE_BYTES * 3
    data = bytearray(size)
    path.write_bytes(data)
    plain = contents.content(path)
    assert plain.startswith(f"sampled:{size}:")
    for place in (0, size - 1):
        data[place] = 1
        path.write_bytes(data)
        assert contents.content(path) != plain
        data[place] = 0
    path.write_bytes(data + b"\0")
    assert contents.content(path) != plain


def test_the_folder_of_a_slide_belongs_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "_SETTLED_NS", -(10**18))
    slide, data = tmp_path / "a.mrxs", tmp_path / "a/Data0000.dat"
    data.parent.mkdir()
    slide.write_text("names the folder")
    data.write_text("pixels")

    def param(params):
        contents._stats.cache_clear()
        contents._of_folder.cache_clear()
        return Contents(tmp_path / "contents.json").param([str(slide)], params)

    before = kept(param(None))
    assert repr(param(before)) in before
    data.write_text("others")
    os.utime(data, LONG_AGO)
    assert repr(param(before)) not in before


def test_the_mark_is_found_among_other_params():
    assert kept_in(None) is None
    assert kept_in(kept()) is None
    assert kept_in(kept({KEY: ["sha256:1"]})) == ["sha256:1"]
