"""Letters beyond ASCII, whatever the locale."""

import ast
import os
import subprocess
import sys

import pytest

from clusterfirst.io import ClusterfirstError, check_names

ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
BINARY_ANYWAY = {"Image", "gzip", "tarfile", "zipped", "Journal", "os", "webbrowser", "urllib", "openslide"}
"""What else has a method `open`."""


def keyword(call, name):
    return next((one.value for one in call.keywords if one.arg == name), None)


def mode(call, place):
    given = keyword(call, "mode") or (call.args[place] if len(call.args) > place else None)
    return given.value if isinstance(given, ast.Constant) else "r" if given is None else "?"


def says_no_encoding(call) -> bool:
    """Whether a call reads or writes text as the locale has it."""
    method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if method else getattr(call.func, "id", "")
    owner = getattr(call.func.value, "id", "") if method else ""
    if any(one.arg in ("encoding", None) for one in call.keywords):
        return False
    if name == "open" and owner not in BINARY_ANYWAY:
        return "b" not in mode(call, 0 if method else 1)
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    if name in ("NamedTemporaryFile", "TemporaryFile", "fdopen"):
        return "b" not in mode(call, 1 if name == "fdopen" else 0) and mode(call, 1 if name == "fdopen" else 0) != "r"
    return owner == "subprocess" and any(keyword(call, one) for one in ("text", "universal_newlines"))


def test_every_text_file_has_an_encoding(repo):
    wrong = [
        f"{path.relative_to(repo)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted((repo / "workflow/scripts").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and says_no_encoding(node)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("open(path)", True),
        ("open(path, 'wb')", False),
        ("path.open('a')", True),
        ("path.open(mode='rb')", False),
        ("path.read_text()", True),
        ("path.write_text(text, 'utf-8')", False),
        ("path.write_text(text)", True),
        ("subprocess.run(command, text=True)", True),
        ("subprocess.run(command, text=True, encoding='utf-8')", False),
        ("tempfile.NamedTemporaryFile('w')", True),
        ("tempfile.TemporaryFile()", False),
    ],
)
def test_the_check_of_encodings_sees_them(code, wrong):
    assert says_no_encoding(ast.parse(code).body[0].value) == wrong


def python(code, **environment):
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return subprocess.run(
        [sys.executable, "-c", code], env=own | environment, capture_output=True, check=False, encoding="ascii"
    )


def test_names_that_would_not_be_found_are_refused():
    check_names(["Grün"])
    code = "from clusterfirst.io import check_names; check_names(['plain', 'Gr\\u00fcn'])"
    done = python(code, **ASCII_ONLY)
    assert done.returncode
    assert r"ClusterfirstError: 'Gr\xfcn': Python takes names of files for ascii here" in done.stderr
    assert "PYTHONUTF8=1" in done.stderr
    assert not python(code, **ASCII_ONLY | {"PYTHONUTF8": "1"}).stderr


def test_plain_names_are_fine_anywhere():
    assert not python("from clusterfirst.io import check_names; check_names(['plain'])", **ASCII_ONLY).stderr


@pytest.mark.parametrize("environment", [ASCII_ONLY, {"PYTHONIOENCODING": "ascii"}])
def test_logs_and_prints_survive_a_terminal_of_few_letters(tmp_path, environment):
    code = (
        f"from clusterfirst.io import log, log_to; log_to({str(tmp_path / 'job.log')!r}); "
        "log.warning('Gr\\u00fcn, 3 \\u00b5m'); print('Gr\\u00fcn')"
    )
    done = python(code, **environment)
    assert done.returncode == 0
    assert done.stdout == "Gr\\xfcn\n"
    assert r"WARNING Gr\xfcn, 3 \xb5m" in done.stderr
    assert "WARNING Grün, 3 µm" in (tmp_path / "job.log").read_text("utf-8")


def test_a_sheet_is_not_said_to_be_missing(monkeypatch, tmp_path, slide_schema):
    from clusterfirst.plan.sheet import read_sheet

    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    sheet = tmp_path / "slides.csv"
    sheet.write_text("slide,path\na,Grün.svs\n", encoding="utf-8")
    with pytest.raises(ClusterfirstError, match=r"'Gr\\xfcn.svs': Python takes names of files for iso8859-1 here"):
        read_sheet(sheet, slide_schema)
