"""What snakemake plans, without running anything."""

import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

SLIDE = "CMU-1-Small-Region"


def dry_run(repo, *arguments):
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "config/demo.yaml", *arguments]
    return subprocess.run(command, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def test_the_demo_is_planned_in_a_fresh_clone(repo, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", repo, clone], check=True)
    done = dry_run(clone)
    assert done.returncode == 0, done.stdout
    for rule in ("fetch_slide", "fetch_weights", "tile", "filter_tiles", "segment", "embed", "reduce", "cluster"):
        assert f"{rule} " in done.stdout


def test_planning_imports_nothing_heavy(repo):
    code = (
        "import sys\n"
        "from snakemake.cli import main\n"
        "try:\n"
        "    main(['--dry-run', '--quiet', 'all', '--configfile', 'config/demo.yaml'])\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        "heavy = {'torch', 'cellpose', 'umap', 'sklearn', 'matplotlib', 'cv2', 'openslide', 'geopandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bad_config_and_bad_sheet_are_reported_together_before_any_job(new_project, tissue):
    project = new_project("bad")
    image = tissue / "a.png"
    rows = [
        {"slide": "good", "path": image, "mpp": 0.5},
        {"slide": "good", "path": image, "mpp": "half"},
        {"slide": "bad name", "path": "nowhere.svs", "mpp": 500},
    ]
    project.write(
        rows, {"tilling": {"tile_px": 512}, "clustering": {"epps": 1}, "tissues": {"x": {"filter": {"min": 1}}}}
    )
    done = project.run("--dry-run")
    assert done.returncode != 0
    for part in (
        "tilling: unknown key; did you mean 'tiling'?",
        "clustering.epps: unknown key; did you mean 'eps'?",
        "tissues.x.filter.min: unknown key",
        "row 3, column slide: 'good' stands in row 2 already",
        "row 3, column mpp: 'half' is not a number",
        "row 4, column slide",
        "row 4, column path: no file nowhere.svs",
        "row 4, column mpp: 500.0 is greater than the maximum",
    ):
        assert part in done.stdout, (part, done.stdout)
    assert "Traceback" not in done.stdout


def test_a_tissue_that_no_slide_has_is_pointed_out(new_project, tissue):
    project = new_project("tissue")
    row = {"slide": "a", "path": tissue / "a.png", "mpp": 0.5, "tissue": "skin"}
    project.write([row], {"tissues": {"skn": {"clustering": {"eps": 1}}, "skin": {"clustering": {"eps": 1}}}})
    done = project.run("--dry-run")
    assert done.returncode == 0, done.stdout
    assert "tissues.skn concerns no slide; tissues in the sheet: skin" in done.stdout
    assert "tissues.skin concerns" not in done.stdout


def test_unknown_weights_are_named_before_any_job(new_project, tissue):
    project = new_project("weights")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.5}], {"segmentation": {"weights": "instansegg"}})
    done = project.run("--dry-run")
    assert done.returncode != 0
    assert "segmentation: no file instansegg for instanseg, and no weights of that name" in done.stdout


@pytest.mark.parametrize(("gpu", "asked"), [("auto", "gpu=1"), (False, "gpu=0")])
def test_segmentation_asks_for_a_gpu_unless_told_not_to(new_project, tissue, gpu, asked):
    project = new_project("gpu")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.5}], {"gpu": gpu})
    planned = project.run("--dry-run", "--quiet", "host").stdout
    outline = planned.split("rule outline:")[1].split("\n\n")[0]
    assert asked in outline
    # cuML is not installed.
    assert "gpu=0" in planned.split("rule reduce:")[1].split("\n\n")[0]


def test_the_commented_config_states_every_key_with_its_default(repo, schema):
    from clusterfirst.plan.settings import defaults

    assert yaml.safe_load((repo / "config/config.yaml").read_text()) == defaults(schema)


@pytest.mark.parametrize(("name", "extra"), [("clusterfirst", None), ("rapids", "rapids")])
def test_conda_environments_are_in_step_with_pyproject(repo, name, extra):
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    conda = yaml.safe_load((repo / f"workflow/envs/{name}.yaml").read_text())
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    needed_by_jobs = [requirement for requirement in wanted if not requirement.startswith("snakemake-")]
    assert pip == [requirement.split(";")[0].strip() for requirement in needed_by_jobs]
    assert f"python {project['requires-python']}" in conda["dependencies"]


def test_weights_of_models_that_are_not_embedded_are_told_before_any_job(new_project, tissue):
    project = new_project("balance")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.5}], {"reduction": {"balance": {"resnet5": 0.5}}})
    done = project.run("--dry-run")
    assert done.returncode != 0
    assert "config: reduction.balance: resnet5 is none of embedding.models (morphology, instanseg)" in done.stdout


def test_results_of_a_slide_that_is_not_in_the_sheet_are_said_to_be_nobodys(new_project, tissue):
    project = new_project("nobody")
    project.write([{"slide": "a", "path": tissue / "a.png", "mpp": 0.5}])
    for target in ("results/b/masks.parquet", "results/b/clusters.json", "results/sweep/x~1/a/masks.parquet"):
        done = project.run("--dry-run", target)
        assert done.returncode != 0
        assert "belongs to no slide of slides.csv" in done.stdout, done.stdout


def test_a_job_on_a_cluster_does_not_mind_that_the_slide_of_another_has_vanished(new_project, tissue):
    """It reads the whole sheet again. This is how executors call snakemake on a node."""
    project = new_project("node")
    rows = [{"slide": name, "path": f"{name}.png", "mpp": 0.5} for name in "ab"]
    shutil.copy(tissue / "a.png", project.folder / "a.png")
    project.write(rows)
    assert "column path: no file b.png" in project.run("--dry-run").stdout
    on_a_node = ("--mode", "remote", "--no-hooks", "--force", "--allowed-rules", "tile")
    done = project.run(*on_a_node, "--target-jobs", "tile:slide=a")
    assert done.returncode == 0, done.stdout
    assert (project.results("a") / "tiles.parquet").exists()
    assert project.run(*on_a_node, "--target-jobs", "tile:slide=b").returncode != 0
