"""Paths as people write them, in sheet and configuration and on the command line."""

import pwd
import re
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterfirst.io import ClusterfirstError
from clusterfirst.paths import is_address, written_out
from clusterfirst.plan.settings import check_config, write_out_paths
from clusterfirst.plan.sheet import read_sheet


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("EMPTY_SO_FAR", "")
    monkeypatch.delenv("NOWHERE", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("slides/a.svs", "slides/a.svs"),
        ("~", "/home/me"),
        ("~/a.svs", "/home/me/a.svs"),
        ("~root/a.svs", f"{pwd.getpwnam('root').pw_dir}/a.svs"),
        ("a~/~b.svs", "a~/~b.svs"),
        ("$DATA/a.svs", "/data/a.svs"),
        ("${DATA}x/a.svs", "/datax/a.svs"),
        ("x$EMPTY_SO_FAR/a.svs", "x/a.svs"),
        ("$DATA/$DATA/é.svs", "/data//data/é.svs"),
        ("100$/a$5.svs", "100$/a$5.svs"),
        ("{DATA}/%41/a b#?.svs", "{DATA}/%41/a b#?.svs"),
        ("file:///data/a%20b%C3%A9.svs", "/data/a bé.svs"),
        ("FILE://localhost/data/a#b?.svs", "/data/a#b?.svs"),
        ("file:/data/$x/~a.svs", "/data/$x/~a.svs"),
        ("s3://bucket/~/$DATA/a.svs", "s3://bucket/~/$DATA/a.svs"),
        ("https://host/a%20b.svs", "https://host/a%20b.svs"),
    ],
)
def test_a_path_is_written_out(written, meant):
    assert written_out(written) == meant


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("$NOWHERE/a.svs", "there is no variable NOWHERE in the environment: set it"),
        ("${NOWHERE}/a.svs", "there is no variable NOWHERE in the environment: set it"),
        ("~nobody-at-all/a.svs", "there is no home folder ~nobody-at-all"),
        ("file://server/share/a.svs", "another machine (server)"),
        ("a\nb.svs", "a line break"),
        ("a\x00b.svs", "a line break or another control character"),
    ],
)
def test_what_cannot_be_written_out_is_refused(written, why):
    with pytest.raises(ClusterfirstError, match=re.escape(why)):
        written_out(written)


def test_what_is_there_by_that_very_name_is_meant(somewhere):
    for name in ("US$NOWHERE.svs", "~nobody-at-all"):
        (somewhere / name).write_text("")
        assert written_out(name) == name


def test_addresses_are_those_of_files_elsewhere():
    assert is_address("s3://bucket/a.svs")
    assert not is_address("file:///a.svs")
    assert not is_address("/a.svs")


def test_every_path_of_the_configuration_is_written_out(schema):
    config = {
        "slides": "~/sheet.csv",
        "results": "$DATA/results",
        "models_dir": "${DATA}/models",
        "segmentation": {"weights": "~/w.pt", "model": "instanseg"},
        "embedding": {"models": ["morphology", "~/net.onnx"], "weights": {"~/net.onnx": "$DATA/x.pth"}},
        "reduction": {"balance": {"~/net.onnx": 0.5}},
        "classify": {"prompt": "~/prompt.yaml", "model": "$DATA", "base_url": "http://localhost/~me"},
        "sweep": {"segmentation.weights": ["cpsam", "~/w.pt"], "embedding.models": [["~/net.onnx"]]},
        "tissues": {
            "~/skin": {"segmentation": {"weights": "$DATA/w.pt"}, "sweep": {"segmentation.weights": ["~/v.pt"]}}
        },
    }
    meant, wrong = write_out_paths(config, schema)
    assert not wrong
    assert meant == {
        "slides": "/home/me/sheet.csv",
        "results": "/data/results",
        "models_dir": "/data/models",
        "segmentation": {"weights": "/home/me/w.pt", "model": "instanseg"},
        "embedding": {"models": ["morphology", "/home/me/net.onnx"], "weights": {"/home/me/net.onnx": "/data/x.pth"}},
        "reduction": {"balance": {"/home/me/net.onnx": 0.5}},
        "classify": {"prompt": "/home/me/prompt.yaml", "model": "$DATA", "base_url": "http://localhost/~me"},
        "sweep": {"segmentation.weights": ["cpsam", "/home/me/w.pt"], "embedding.models": [["/home/me/net.onnx"]]},
        "tissues": {
            "~/skin": {"segmentation": {"weights": "/data/w.pt"}, "sweep": {"segmentation.weights": ["/home/me/v.pt"]}}
        },
    }


def test_a_variable_that_is_not_there_is_told_with_its_key(schema):
    config = {"results": "$NOWHERE/r", "tissues": {"skin": {"segmentation": {"weights": "~nobody-at-all/w"}}}}
    _, wrong = write_out_paths(config, schema)
    assert [line.partition(":")[0] for line in wrong] == ["results", "tissues.skin.segmentation.weights"]


@pytest.mark.parametrize("value", [None, 3, [], "x", {"a": None}, {"sweep": 3}, {"skin": {"segmentation": 1}}])
def test_what_is_no_configuration_is_left_to_its_checks(schema, value):
    for key in ("tissues", "sweep", "embedding", "results", "classify"):
        assert write_out_paths({key: value}, schema) == ({key: value}, [])


@pytest.mark.parametrize("key", ["results", "models_dir"])
@pytest.mark.parametrize("path", ["a/{batch}", "a/<results>", "a}"])
def test_folders_of_results_have_no_braces(schema, key, path):
    (problem,) = check_config({key: path}, schema)
    assert problem.startswith(f"{key}: '{path}' does not match: ")
    assert "braces" in problem


def sheet(folder, text, schema):
    (folder / "sheet.csv").write_text(text, encoding="utf-8")
    return read_sheet(folder / "sheet.csv", schema, exists=lambda path: True)


def test_every_path_of_the_sheet_is_written_out(somewhere, slide_schema):
    text = "slide,path,objects,truth,tissue\n~a,~/a.svs,$DATA/o.geojson,file:///t%20u.csv,$DATA\n".replace("~a,", "a,")
    (sample,) = sheet(somewhere, text, slide_schema)
    found = (sample.path, sample.objects, sample.truth, sample.tissue)
    assert found == ("/home/me/a.svs", "/data/o.geojson", "/t u.csv", "$DATA")


def test_what_is_wrong_with_a_path_is_told_with_row_and_column_and_once(somewhere, slide_schema):
    (somewhere / "sheet.csv").write_text('slide,path,truth\na,a.svs,\nb,$NOWHERE/b.svs,"t\nu.csv"\n')
    with pytest.raises(ClusterfirstError) as told:
        read_sheet(somewhere / "sheet.csv", slide_schema, exists=lambda path: path == "a.svs")
    first, second = str(told.value).splitlines()[1:]
    assert re.match(r"  row \d, column path: there is no variable NOWHERE", first)
    assert re.match(r"  row \d, column truth: .* has a line break", second)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("said", "separator"), [("sep=;", ";"), ('"sep=,"', ","), ("SEP=|", "|"), ("sep=;;;", ";")])
def test_the_first_line_of_excel_says_what_separates_and_is_no_row(somewhere, slide_schema, said, separator, end):
    lines = [said, separator.join(["slide", "path", "mpp"]), separator.join(["a", "x,y;z.svs", "0.5"])]
    lines[2] = lines[2].replace("x,y;z", "xyz")
    (sample,) = sheet(somewhere, end.join(lines) + end, slide_schema)
    assert (sample.slide, sample.path, sample.mpp) == ("a", "xyz.svs", 0.5)
    with pytest.raises(ClusterfirstError, match="row 2, column mpp: 'half'"):
        sheet(somewhere, end.join(lines).replace("0.5", "half"), slide_schema)


ANY = {"max_examples": 100, "deadline": None}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(**ANY)
@given(text=TEXTS, before=st.sampled_from(["", "~", "$", "file:", "file://", "${"]))
def test_any_text_is_a_path_or_refused(text, before):
    with suppress(ClusterfirstError):
        assert "\n" not in written_out(before + text)


GOOD = b'\xef\xbb\xbfsep=;\r\nslide;path;mpp;objects\r\na;"x;y.svs";0.5;\r\nb;~/b.svs;;$DATA/o.geojson\r\n'


@settings(**ANY, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(GOOD)), cut=st.integers(0, 20), new=st.binary(max_size=20) | st.just(b'"'))
def test_any_sheet_is_read_or_refused(somewhere, slide_schema, place, cut, new):
    (somewhere / "sheet.csv").write_bytes(GOOD[:place] + new + GOOD[place + cut :])
    with suppress(ClusterfirstError):
        samples = read_sheet(somewhere / "sheet.csv", slide_schema, exists=lambda path: True)
        assert all(sample.slide and sample.path for sample in samples)


def test_a_sheet_whose_quotation_mark_is_not_closed_is_refused(somewhere, slide_schema):
    text = 'slide,path\na,"a.svs\n' + "b,b.svs\n" * 20_000
    with pytest.raises(ClusterfirstError, match=r"is no table: .* Is a quotation mark not closed"):
        sheet(somewhere, text, slide_schema)
