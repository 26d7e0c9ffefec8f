"""The sample sheet and the configuration."""

import re

import pytest
from jsonschema import Draft202012Validator

from clusterfirst.io import ClusterfirstError
from clusterfirst.plan.settings import STAGES, Sample, check_config, read_sheet, resolve


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
    assert sheet("slide,patient,path,stain\na,7,a.svs,HE\n") == [Sample("a", "a.svs")]


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


def test_the_defaults_make_a_valid_config(schema):
    assert check_config({}, schema) == []
    assert check_config(resolve({}, schema), schema) == []


def test_several_problems_of_a_config_are_reported_at_once(schema):
    found = check_config(
        {"tiling": {"tile_pix": 256, "halo_px": "wide"}, "clustring": {}, "gpu": "yes", "filter": {"min_tissue": 2}},
        schema,
    )
    assert any(line == "tiling.tile_pix: unknown key; did you mean 'tile_px'?" for line in found)
    assert any(line == "clustring: unknown key; did you mean 'clustering'?" for line in found)
    assert any(line.startswith("tiling.halo_px: 'wide' is not of type 'integer'") for line in found)
    assert any(line.startswith("gpu: 'yes' is not one of") for line in found)
    assert any(line.startswith("filter.min_tissue: 2 is greater than the maximum of 1") for line in found)
    assert len(found) == 5


def test_every_unknown_key_of_a_section_is_reported(schema):
    found = check_config({"filter": {"min_tisue": 0, "qqqqqqqq": 1}}, schema)
    assert found[0] == "filter.min_tisue: unknown key; did you mean 'min_tissue'?"
    assert found[1].startswith("filter.qqqqqqqq: unknown key; known keys: min_tissue, ")


def test_a_wrong_value_is_reported_with_what_the_key_is_for(schema):
    (line,) = check_config({"tiling": {"tile_px": 8}}, schema)
    assert line.startswith("tiling.tile_px: 8 is less than the minimum of 64")
    assert schema["properties"]["tiling"]["properties"]["tile_px"]["description"] in line


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"n": 5}, "classify.parameters.n: 1 was expected (each picture has one vote"),
        ({"stream": True}, "answers are read whole"),
        ({"messages": []}, "what is asked stands in classify.prompt"),
        ({"model": "other"}, "set classify.model"),
        ({"max_tokens": None}, "classify.parameters.max_tokens: None is not of type 'integer'"),
    ],
)
def test_parameters_for_a_model_that_would_pass_the_budget_are_refused(schema, own, why):
    (line,) = check_config({"classify": {"parameters": own}}, schema)
    assert why in line
    assert check_config({"classify": {"parameters": {"temperature": 0, "max_tokens": 50, "n": 1}}}, schema) == []


def test_settings_of_a_tissue_are_held_against_the_stage_they_override(schema):
    found = check_config(
        {"tissues": {"colon": {"filter": {"max_bright_ratio": 9}, "clustering": {"epps": 1}}, "liver": {"gpu": True}}},
        schema,
    )
    assert any(line.startswith("tissues.colon.filter.max_bright_ratio: 9 is greater") for line in found)
    assert any(line.startswith("tissues.colon.clustering.epps: unknown key; did you mean 'eps'") for line in found)
    assert any(line.startswith("tissues.liver.gpu: unknown key") for line in found)
    assert len(found) == 3


def test_shards_are_set_for_all_slides_or_none(schema):
    assert check_config({"segmentation": {"shards": 8}}, schema) == []
    (line,) = check_config({"tissues": {"colon": {"segmentation": {"shards": 8}}}}, schema)
    assert line.startswith("tissues.colon.segmentation.shards: set it for all slides")


def test_a_tissue_without_settings_is_fine_and_one_that_is_no_mapping_is_not(schema):
    assert check_config({"tissues": {"colon": None}}, schema) == []
    assert check_config({"tissues": None}, schema) == []
    (line,) = check_config({"tissues": {"colon": "pink"}}, schema)
    assert line.startswith("tissues.colon: 'pink' is not of type 'object'")


def test_a_tissue_overrides_single_keys_over_the_config_over_the_defaults(schema):
    config = {
        "tiling": {"halo_px": 10},
        "filter": {"max_bright_ratio": 0.7, "min_tissue": 0.1},
        "tissues": {"colon": {"filter": {"max_bright_ratio": 0.9}}},
    }
    colon, other = resolve(config, schema, "colon"), resolve(config, schema, "liver")
    assert (colon["filter"]["max_bright_ratio"], other["filter"]["max_bright_ratio"]) == (0.9, 0.7)
    assert colon["filter"]["min_tissue"] == other["filter"]["min_tissue"] == 0.1
    assert (
        colon["filter"]["max_dark_ratio"] == schema["properties"]["filter"]["properties"]["max_dark_ratio"]["default"]
    )
    assert colon["tiling"] == other["tiling"]
    assert colon["tiling"]["halo_px"] == 10
    assert set(colon) == {*STAGES, "gpu", "sweep"}


def test_resolving_leaves_config_and_schema_as_they_were(schema):
    config = {"tissues": {"colon": {"tiling": {"magnifications": [0.5]}}}}
    resolve(config, schema, "colon")["tiling"]["magnifications"].append(0.25)
    resolve(config, schema)["tiling"]["magnifications"].append(0.125)
    assert resolve({}, schema)["tiling"]["magnifications"] == [1.0]


def leaves(schema: dict, path: str = ""):
    for key, sub in schema["properties"].items():
        if "properties" in sub:
            yield from leaves(sub, f"{path}{key}.")
        else:
            yield f"{path}{key}", sub


def test_every_key_has_a_description_and_a_default_that_it_would_accept(schema):
    found = dict(leaves(schema))
    assert {"gpu", "tiling.tile_px", "annotation.overview_px"} <= set(found)
    for key, sub in found.items():
        assert len(sub.get("description", "")) > 10, key
        assert "default" in sub, key
        Draft202012Validator(sub).validate(sub["default"])


def test_no_section_lets_a_misspelt_key_through(schema):
    for name in STAGES:
        assert schema["properties"][name]["additionalProperties"] is False, name


def test_every_column_of_the_sheet_is_described(slide_schema):
    assert all(re.search(r"\w", sub["description"]) for sub in slide_schema["properties"].values())


def test_every_key_and_value_of_a_sweep_is_checked(schema):
    config = {
        "sweep": {"clustering.epps": [1], "clustering.eps": [0.3, "half"], "segmentation.shards": [1, 2]},
        "tissues": {"skin": {"sweep": {"filter.min_tissue": [0.5, 7], "banana": [1]}}},
    }
    found = check_config(config, schema)
    assert len(found) == 5, found
    for text in (
        "sweep: unknown key 'clustering.epps'; did you mean 'clustering.eps'?",
        "sweep: clustering.eps: 'half' is not",
        "sweep.segmentation.shards: it changes no result",
        "tissues.skin.sweep: filter.min_tissue: 7 is greater than the maximum",
        "tissues.skin.sweep: unknown key 'banana'; keys are written section.key",
    ):
        assert any(line.startswith(text) for line in found), (text, found)


def test_a_sweep_is_a_list_of_values_by_key(schema):
    assert check_config({"sweep": {"clustering.eps": 0.3}}, schema)
    assert check_config({"sweep": {"clustering.eps": []}}, schema)
    assert check_config({"tissues": {"skin": {"sweep": {"clustering.eps": 0.3}}}}, schema)


def test_a_trial_is_laid_over_the_settings_of_its_tissue(schema):
    config = {"sweep": {"clustering.eps": [1]}, "tissues": {"skin": {"clustering": {"eps": 0.5}, "sweep": {}}}}
    assert resolve(config, schema, "skin", trial={"clustering": {"eps": 0.9}})["clustering"]["eps"] == 0.9
    assert resolve(config, schema, "skin")["sweep"] == {}
    assert resolve(config, schema, "lung")["sweep"] == {"clustering.eps": [1]}


@pytest.mark.parametrize("name", ["classify", "evaluation", "Groups", "logs", "sweep"])
def test_a_slide_cannot_be_called_like_a_folder_of_the_workflow(sheet, name):
    with pytest.raises(ClusterfirstError, match="is the name of a folder of the workflow's own"):
        sheet(f"slide,path\n{name},a.svs\n")
