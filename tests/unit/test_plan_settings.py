"""The configuration."""

import pytest
from jsonschema import Draft202012Validator

from clusterfirst.plan.settings import SECTIONS, check_config, defaults, merge, resolve


def test_the_defaults_make_a_valid_config(schema):
    assert check_config({}, schema) == []
    assert check_config(defaults(schema), schema) == []


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
    assert (colon.filter["max_bright_ratio"], other.filter["max_bright_ratio"]) == (0.9, 0.7)
    assert colon.filter["min_tissue"] == other.filter["min_tissue"] == 0.1
    assert colon.filter["max_dark_ratio"] == schema["properties"]["filter"]["properties"]["max_dark_ratio"]["default"]
    assert colon.tiling == other.tiling
    assert colon.tiling["halo_px"] == 10
    assert set(vars(colon)) == {*SECTIONS, "gpu", "sweep"}


def usual(schema, **own):
    return {**resolve({}, schema).filter, **own}


def test_a_filter_is_switched_off_for_all_or_for_a_tissue(schema):
    assert check_config({"filter": False, "tissues": {"skin": {"filter": False}}}, schema) == []
    assert resolve({"filter": False}, schema).filter is False
    assert resolve({"filter": False, "tissues": {"skin": {"tiling": {}}}}, schema, "skin").filter is False
    config = {"filter": {"min_tissue": 0.1}, "tissues": {"skin": {"filter": False}}}
    assert resolve(config, schema, "skin").filter is False
    assert resolve(config, schema, "lung").filter == usual(schema, min_tissue=0.1)


def test_limits_for_a_tissue_switch_its_filter_on_again_over_the_defaults(schema):
    config = {"filter": False, "tissues": {"skin": {"filter": {"min_tissue": 0.1}}, "lung": {"filter": {}}}}
    assert check_config(config, schema) == []
    assert resolve(config, schema, "skin").filter == usual(schema, min_tissue=0.1)
    assert resolve(config, schema, "lung").filter == usual(schema)
    assert resolve(config, schema, "colon").filter is False
    trial = {"filter": {"max_dark_ratio": 1}}
    assert resolve(config, schema, "skin", trial=trial).filter == usual(schema, min_tissue=0.1, max_dark_ratio=1)
    # As when the sheet of settings is laid over config.yaml, which has all limits; and the other way round.
    assert merge({"filter": usual(schema)}, {"filter": False}) == {"filter": False}
    assert merge({"filter": False}, {"filter": {"min_tissue": 0.1}}) == {"filter": {"min_tissue": 0.1}}


def test_what_decided_the_results_says_that_nothing_was_filtered(schema):
    assert resolve({"filter": False}, schema).decisive["filter"] is False


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "filter: False was expected (false switches filtering off; to filter, give limits or leave the key out"),
        (None, "filter: None is not of type 'object', 'boolean' (limits that a tile must keep"),
        (0, "filter: 0 is not of type 'object', 'boolean'"),
    ],
)
def test_a_filter_is_limits_or_false(schema, value, why):
    (line,) = check_config({"filter": value}, schema)
    assert line.startswith(why)
    (line,) = check_config({"tissues": {"skin": {"filter": value}}}, schema)
    assert line.startswith(f"tissues.skin.{why}")


def test_limits_are_not_swept_where_nothing_is_filtered(schema):
    sweep = {"filter.min_tissue": [0.1, 0.2], "clustering.groups": [5]}
    config = {
        "filter": False,
        "sweep": sweep | {"clustering.grups": [1]},
        "tissues": {
            # On again, swept with the others; off, with a sweep of its own; off, like all.
            "skin": {"filter": {}},
            "lung": {"sweep": {"filter.max_dark_ratio": [1]}},
            "colon": {"clustering": {"fine": 50}},
            "liver": {"sweep": {}},
        },
    }
    found = check_config(config, schema)
    assert len(found) == 3, found
    assert found[0].startswith("sweep: unknown key 'clustering.grups'")
    assert found[1].startswith("sweep.filter.min_tissue: filtering is off here (filter: false)")
    assert found[2].startswith("tissues.lung.sweep.filter.max_dark_ratio: filtering is off here")
    (line,) = check_config({"sweep": sweep, "tissues": {"skin": {"filter": False}}}, schema)
    assert line.startswith("tissues.skin.sweep.filter.min_tissue: filtering is off here")
    assert check_config({"sweep": sweep, "tissues": {"skin": {"filter": False, "sweep": {}}}}, schema) == []


def test_resolving_leaves_config_and_schema_as_they_were(schema):
    config = {"tissues": {"colon": {"tiling": {"magnifications": [0.5]}}}}
    resolve(config, schema, "colon").tiling["magnifications"].append(0.25)
    resolve(config, schema).tiling["magnifications"].append(0.125)
    assert resolve({}, schema).tiling["magnifications"] == [1.0]


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
    for name in SECTIONS:
        assert schema["properties"][name]["additionalProperties"] is False, name


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
    assert resolve(config, schema, "skin", trial={"clustering": {"eps": 0.9}}).clustering["eps"] == 0.9
    assert resolve(config, schema, "skin").sweep == {}
    assert resolve(config, schema, "lung").sweep == {"clustering.eps": [1]}
