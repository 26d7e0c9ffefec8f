"""What the Snakemake catalog, conda, container builders and users of the paper's pipeline rely on."""

import re

import pytest
import yaml
from packaging.requirements import Requirement

from clusterfirst.plan.settings import defaults


def test_the_catalog_finds_what_it_asks_for(repo):
    readme = (repo / "README.md").read_text().casefold()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert (repo / "workflow/Snakefile").is_file()
    assert (repo / "config/README.md").is_file()
    assert list((repo / "workflow/rules").glob("*.smk"))
    usage = yaml.safe_load((repo / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"] == {"desc": None, "flags": None}
    deployment = usage["software-stack-deployment"]
    assert deployment == {"conda": True, "apptainer": False, "apptainer+conda": False, "report": True}


def test_every_rule_that_runs_a_script_names_a_conda_environment_that_is_there(repo):
    for path in (repo / "workflow/rules").glob("*.smk"):
        # Some are made in a loop.
        for text in re.split(r"^ *(?=rule\b)", path.read_text(), flags=re.M):
            if "script:" not in text:
                continue
            (environment,) = re.findall(r'conda:\s+"\.\./(envs/\w+\.yaml)"', text)
            (script,) = re.findall(r'script:\s+"\.\./(scripts/\w+\.py)"', text)
            assert (repo / "workflow" / environment).is_file()
            assert (repo / "workflow" / script).is_file()


@pytest.mark.parametrize(("name", "lock"), [("clusterfirst", "base"), ("rapids", "rapids")])
def test_packages_of_conda_environments_exist_together(repo, name, lock):
    """A list that was once solved holds a version of each, within its bounds; conda only brings Python and pip."""
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (repo / f"requirements/{lock}.txt").read_text(), flags=re.M))
    wanted = yaml.safe_load((repo / f"workflow/envs/{name}.yaml").read_text())
    assert wanted["channels"] == ["conda-forge", "nodefaults"]
    plain = [entry for entry in wanted["dependencies"] if isinstance(entry, str)]
    assert [entry.split()[0] for entry in plain] == ["python", "pip"]
    (pip,) = [entry["pip"] for entry in wanted["dependencies"] if isinstance(entry, dict)]
    for requirement in map(Requirement, pip):
        assert requirement.specifier.contains(locked[requirement.name.casefold()]), requirement


def test_the_container_copies_what_is_there_and_nothing_else_is_sent(repo):
    recipe = (repo / "Dockerfile").read_text()
    copied = [source for source, _ in re.findall(r"^COPY (\S+) (\S+)$", recipe, flags=re.M)]
    assert copied == ["requirements/base.txt", "workflow", "profiles", "config", "resources/prompts"]
    assert all((repo / source).exists() for source in copied)
    sent = [line[1:] for line in (repo / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sent == copied
    assert "--require-hashes" in recipe
    assert (repo / "profiles/default/config.yaml").is_file()


def rows_of(text, heading):
    """Cells of the table below a heading."""
    lines = text.split(heading)[1].split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_the_table_of_the_papers_parameters_is_true_to_our_settings(repo, schema):
    rows = rows_of((repo / "config/README.md").read_text(), "**Parameters.**")
    known = defaults(schema)
    keys = 0
    for row in rows:
        assert len(row) == 5, row
        for section, key in re.findall(r"`(\w+)\.(\w+)`", row[2]):
            keys += 1
            value = known[section][key]
            said = yaml.safe_load(row[3])
            assert said == value, row
    assert keys > 25
    theirs = " ".join(row[0] for row in rows)
    assert len(re.findall(r"`(?:--|…)", theirs)) > 60


def test_the_modes_name_targets_that_exist(repo):
    text = (repo / "config/README.md").read_text()
    rules = re.findall(
        r"^rule (\w+):", "".join(path.read_text() for path in (repo / "workflow").rglob("*.smk")), flags=re.M
    )
    rules += re.findall(r"^rule (\w+):", (repo / "workflow/Snakefile").read_text(), flags=re.M)
    modes = rows_of(text, "**Modes.**")
    assert [mode[0].strip("`") for mode in modes if mode[0]] == [
        "full",
        "prep_only",
        "from_segmentation",
        "annotate_only",
        "extract_cluster_tiles_only",
        "cluster_tiles_and_filtered_annotations",
    ]
    for row in modes:
        for target in re.findall(r"snakemake (\w+)[ `]", row[-1]):
            assert target in rules
    for row in rows_of(text, "## Running a part\n"):
        for target in re.findall(r"`(\w+)`", row[0]):
            assert target in rules
