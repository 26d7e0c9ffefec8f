"""The sample sheet."""

import re

import pytest

from clusterfirst.io import ClusterfirstError
from clusterfirst.plan.layout import RESERVED
from clusterfirst.plan.sheet import Sample, read_sheet


@pytest.fixture
def sheet(tmp_path, slide_schema):
    """Write a sheet and read it; slides called `*.svs` are said to exist."""

    def read(text: str | bytes) -> list[Sample]:
        path = tmp_path / "slides.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_sheet(path, slide_schema, exists=lambda name: name.endswith(".svs"))

    return read


def problems(excinfo) -> list[str]:
    return [line.strip() for line in str(excinfo.value).splitlines()[1:]]


def test_every_problem_of_a_sheet_is_reported_at_once_with_row_and_column(sheet):
    with pytest.raises(ClusterfirstError) as error:
        sheet(
            "slide,path,tissue,mpp\n"
            "a,a.svs,colon,0.5\n"
            "A,b.svs,,\n"
            "../etc,c.svs,,\n"
            "d,gone.tif,,\n"
            "e,e.svs,,half\n"
            "f,f.svs,,300\n"
            "g,,,\n"
            "h,h.svs,colon,0.5,more\n"
            ",i.svs,,\n"
        )
    found = problems(error)
    expected = {
        (3, "slide"): "'A' stands in row 2 already",
        (4, "slide"): "does not match",
        (5, "path"): "no file gone.tif",
        (6, "mpp"): "'half' is not a number",
        (7, "mpp"): "300.0 is greater than the maximum of 10",
        (8, "path"): "is empty",
        (10, "slide"): "is empty",
    }
    for (row, column), text in expected.items():
        assert any(line.startswith(f"row {row}, column {column}: ") and text in line for line in found), (row, found)
    assert any(line.startswith("row 9, 5 cells for 4 columns") for line in found)
    assert len(found) == len(expected) + 1
    assert "has 8 problems" in str(error.value)


def test_equal_ids_are_found_in_whatever_rows_they_stand(sheet):
    with pytest.raises(ClusterfirstError) as error:
        sheet("slide,path\na,a.svs\nb,b.svs\n\na,c.svs\n")
    assert problems(error) == ["row 5, column slide: 'a' stands in row 2 already"]


@pytest.mark.parametrize("text", ["nan", "inf", "-0.5", "0", "0,5"])
def test_a_number_that_is_no_resolution_is_refused(sheet, text):
    with pytest.raises(ClusterfirstError, match="row 2, column mpp: "):
        sheet(f'slide,path,mpp\na,a.svs,"{text}"\n')


@pytest.mark.parametrize("name", ["a b", "a/b", ".hidden", "-x", "", "ä", "x" * 101])
def test_an_id_that_is_no_safe_folder_name_is_refused(sheet, name):
    with pytest.raises(ClusterfirstError, match="row 2, column slide: "):
        sheet(f"slide,path\n{name},a.svs\n")


def test_a_misspelt_column_is_refused_with_the_right_name(sheet):
    with pytest.raises(ClusterfirstError, match="row 1: unknown column 'tisue'; did you mean 'tissue'"):
        sheet("slide,path,tisue\na,a.svs,colon\n")


def test_a_missing_column_is_named_with_what_the_header_has(sheet):
    with pytest.raises(ClusterfirstError, match=r"column 'path' is missing \(the header has: slide, stain\)"):
        sheet("slide,stain\na,HE\n")


def test_columns_of_ones_own_are_welcome(sheet):
    assert sheet("slide,scanner,path,stain\na,7,a.svs,HE\n") == [Sample("a", "a.svs")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\N{ZERO WIDTH NO-BREAK SPACE}"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_what_spreadsheets_save_is_read(sheet, separator, mark, ending):
    rows = [("slide", "path", "tissue", "mpp"), ("a", "a.svs", "colon", "0.25"), ("b", "b.svs", "", "")]
    text = mark + "".join(separator.join(row) + ending for row in rows)
    assert sheet(text) == [Sample("a", "a.svs", "colon", 0.25), Sample("b", "b.svs")]


def test_blank_lines_are_skipped_and_cells_trimmed(sheet):
    assert sheet("slide, path\n\n a , a.svs \n,\n\n") == [Sample("a", "a.svs")]


def test_an_empty_sheet_says_how_the_demo_is_meant(sheet):
    with pytest.raises(ClusterfirstError, match=r'ARGS="--configfile FILE" \(the demo\'s is config/demo\.yaml\)'):
        sheet("slide,path\n")


@pytest.mark.parametrize("text", ["slide,path\n", "slide,path\n\n,\n", ""])
def test_a_sheet_without_slides_is_refused(sheet, text):
    with pytest.raises(ClusterfirstError, match=r"no rows|is missing"):
        sheet(text)


def test_a_sheet_in_another_encoding_is_refused_with_advice(sheet):
    with pytest.raises(ClusterfirstError, match="not UTF-8"):
        sheet("slide,path,note\na,a.svs,Käse\n".encode("latin-1"))


def test_a_missing_sheet_says_how_to_name_another(tmp_path, slide_schema):
    with pytest.raises(ClusterfirstError, match=r"nowhere\.csv not found.*slides:"):
        read_sheet(tmp_path / "nowhere.csv", slide_schema)


def test_by_default_the_file_itself_is_looked_for(tmp_path, slide_schema, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides.csv").write_text("slide,path\na,here.svs\nb,there.svs\n")
    (tmp_path / "here.svs").touch()
    with pytest.raises(ClusterfirstError) as error:
        read_sheet("slides.csv", slide_schema)
    (line,) = problems(error)
    assert line.startswith("row 3, column path: no file there.svs")


def test_every_column_of_the_sheet_is_described(slide_schema):
    assert all(re.search(r"\w", sub["description"]) for sub in slide_schema["properties"].values())


@pytest.mark.parametrize("name", [*RESERVED, "Groups"])
def test_a_slide_cannot_be_called_like_a_folder_of_the_workflow(sheet, name):
    with pytest.raises(ClusterfirstError, match="is the name of a folder of the workflow's own"):
        sheet(f"slide,path\n{name},a.svs\n")
