"""The user's own things: configuration, sheet, weights, slides."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import proxies
from ...io import ClusterfirstError
from ...paths import is_address
from ...plan.networks import weights_names
from ...plan.settings import Settings, check_config, defaults, merge, resolve, write_out_paths
from ...plan.sheet import Sample, read_sheet
from ...plan.trials import trials
from ...proposing import server
from ...text import counted
from ...weights import (
    WEIGHTS,
    Asset,
    Package,
    Timm,
    Url,
    checked_sha256,
    is_asset,
    is_sample_slide,
    package_missing,
    weights_file,
)
from .findings import Finding, tried

SAMPLE = 20
"""So many slides are opened, evenly spread over the sheet."""

_SLIDES = """
import json, sys
from clusterfirst.slide.slide import Slide
for path, mpp in json.loads(sys.argv[1]):
    print(json.dumps({"begun": path}), flush=True)
    try:
        with Slide(path, mpp=mpp) as slide:
            slide.read(0, 0, 64, 64)
            for remark in slide.facts.remarks:
                print(json.dumps({"remark": f"{path}: {remark}"}), flush=True)
    except Exception as error:
        print(json.dumps({"wrong": str(error) or type(error).__name__}), flush=True)
"""


@dataclass(frozen=True)
class Project:
    """The configuration with defaults, its schema, and the slides of the sheet.

    Not a `Plan`, which is refused where these do not go together, and needs packages that may be what is broken.
    """

    config: dict
    schema: dict
    samples: Sequence[Sample]

    @property
    def settings(self) -> Iterator[Settings]:
        """The settings of every tissue, in every trial of a sweep."""
        for tissue in dict.fromkeys(sample.tissue for sample in self.samples):
            plain = resolve(self.config, self.schema, tissue)
            yield plain
            for trial in trials(plain.sweep):
                yield resolve(self.config, self.schema, tissue, trial=trial.settings)


def read(files: Iterable[str | Path], schemas: Path) -> tuple[Project | None, list[Finding]]:
    """Read configuration files, each laid over those before it, and the sheet.

    Returns
    -------
    project : Project or None
        None if the configuration is so wrong that nothing else can be looked at.
    findings : list of Finding
        All problems of both.
    """
    import yaml

    schema, row = (
        yaml.safe_load((schemas / f"{name}.schema.yaml").read_text("utf-8")) for name in ("config", "slides")
    )
    names, config = ", ".join(map(str, files)), {}
    for file in files:
        try:
            own = yaml.safe_load(Path(file).read_text("utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            return None, [Finding("problem", "config", f"{file}: {error}", "mend the file, or its name")]
        if not isinstance(own, dict):
            return None, [Finding("problem", "config", f"{file} holds no keys", "write `key: value` lines")]
        config = merge(config, own)
    config, wrong = write_out_paths(config, schema)
    if wrong := [*wrong, *check_config(config, schema)]:
        advice = "config/README.md has all keys with their values"
        return None, [Finding("problem", "config", "\n".join([f"{names}:", *wrong]), advice)]
    full = merge(defaults(schema), config)
    findings, samples = [Finding("ok", "config", names)], []
    try:
        samples = read_sheet(
            full["slides"],
            row,
            exists=lambda path: Path(path).is_file() or is_sample_slide(path) or is_address(path),
        )
        findings.append(Finding("ok", "sheet", f"{full['slides']}: {counted(len(samples), 'slide')}"))
    except ClusterfirstError as error:
        findings.append(Finding("problem", "sheet", str(error), "mend these rows, or `slides:` in the config"))
    project = Project(full, schema, samples)
    return project, findings + together(project)


def together(project: Project) -> list[Finding]:
    """Say what is wrong with how configuration and sheet go together, each being in order by itself.

    It is what would end a dry-run, weights aside: see `weights`.
    """
    try:
        from ...plan import checks
        from ...plan.plan import Plan
    except ImportError:
        # What is missing is said of the packages.
        return []
    try:
        plan = Plan(project.config, project.schema, {sample.slide: sample for sample in project.samples})
        wrong = checks.problems(plan, has_weights=lambda name: True)
    except ClusterfirstError as error:
        wrong = [str(error)]
    advice = "mend the config or the sheet: no run begins with this"
    return [Finding("problem", "plan", "\n".join(wrong), advice)] if wrong else []


def used_proxies(project: Project, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Say which proxies the environment names, what goes through them, and whether pictures for a model do."""
    found = {str(proxy) for scheme in ("http:", "https:") if (proxy := proxies.named(scheme, environment))}
    if found:
        named = ", ".join(sorted(found))
        text = f"the environment names {named}: weights are fetched through it, and storages such as S3 are reached so"
        yield Finding("note", "proxy", text)
    asked = [settings.classify for settings in project.settings if settings.classify["per_cluster"]]
    for who in dict.fromkeys(server.receivers(settings, environment) for settings in asked):
        advice = (
            "no proxy of the environment is asked for them; if it must be: classify.proxy: environment" if found else ""
        )
        through = any(settings["proxy"] for settings in asked)
        yield Finding("note", "model", f"pictures of clusters go to {who}", "" if through else advice)


def weights(project: Project) -> Iterator[Finding]:
    """Whether all weights that the settings ask for are there and what they should be, or can be fetched."""
    folder = project.config["models_dir"]
    named = {name for settings in project.settings for of in weights_names(settings).values() for name in of.values()}
    if not project.samples:
        yield Finding("note", "weights", "which are needed is not known without slides", "see the sheet")
    elif not named:
        yield Finding("ok", "weights", "none are needed")
    for name in sorted(named):
        path = weights_file(name, folder)
        if path.is_file():
            yield _checked(name, path)
        elif is_address(str(name)):
            yield Finding("note", "weights", f"{name} lies in a storage, and is not looked at")
        elif not is_asset(name):
            advice = f"put it there, or use one of these: {', '.join(WEIGHTS)}"
            yield Finding("problem", "weights", f"no file {name}", advice)
        else:
            yield _to_be_fetched(name, path)


def _checked(name: str, path: Path) -> Finding:
    # What is registered is known without torchvision, which may be broken; of others, the hash of the first download.
    known = WEIGHTS.get(name) or Asset(path.name, "", (), name, "")
    try:
        found = checked_sha256(path, known)
    except (ClusterfirstError, OSError) as error:
        return Finding("problem", "weights", f"{name}: {error}", f"rm {path} && make models")
    return Finding("ok", "weights", f"{name}: {path}, sha256 {found[:8]}…")


def _to_be_fetched(name: str, path: Path) -> Finding:
    asset = WEIGHTS.get(name)
    if asset is None:
        advice = (
            "`make models` fetches it from the library's own server; do so where there is internet, before jobs start"
        )
        return Finding("note", "weights", f"{name} is not there yet", advice)
    whys = []
    for source in asset.sources:
        if not (why := _unreachable(source)):
            advice = "`make models` fetches it; do so before jobs start where there is no internet"
            return Finding("note", "weights", f"{name} is not there yet; it can be had from {source}", advice)
        whys.append(f"{source}: {why}")
    text = "\n".join([f"{name} is not there, and no source can be reached:", *whys])
    advice = f"fetch it on a machine with internet and put it at {path.absolute()} (sha256 {asset.sha256})"
    return Finding("problem", "weights", text, advice)


def _unreachable(source: Url | Package | Timm) -> str:
    """Why a source does not have its file for us; "" if it does. Nothing is downloaded."""
    if isinstance(source, Package):
        return package_missing(source)
    if not isinstance(source, Url):
        return ""
    request = urllib.request.Request(source.address, method="HEAD", headers={"User-Agent": "clusterfirst"})
    try:
        with urllib.request.urlopen(request, timeout=10):
            return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error) or error)


def slides(project: Project, *, count: int = SAMPLE, timeout_s: float = 120) -> Iterator[Finding]:
    """Open some slides: can they be read, and is their µm/px known?"""
    there = [sample for sample in project.samples if Path(sample.path).is_file()]
    if not there:
        yield Finding("note", "slides", "none is there to be opened", "see the sheet")
        return
    step = max(1, -(-len(there) // count))
    chosen = there[::step]
    asked = json.dumps([(sample.path, sample.mpp) for sample in chosen])
    done = tried(_SLIDES, asked, timeout_s=timeout_s)
    reports = [json.loads(line) for line in done.output.splitlines() if line.endswith("}")]
    begun = [report["begun"] for report in reports if "begun" in report]
    wrong = [report["wrong"] for report in reports if "wrong" in report]
    for text in wrong:
        yield Finding(
            "problem", "slide", text, "the slide fails alone, the others are finished; or take it out of the sheet"
        )
    for report in reports:
        if "remark" in report:
            yield Finding("note", "slide", report["remark"], "look at its picture, and mend the file or its row")
    if done.why:
        last = begun[-1] if begun else "the first slide"
        advice = "is the disk mounted, and fast enough? Is the file whole?"
        yield Finding("problem", "slides", f"opening {last}: {done.why}", advice)
    opened = len(begun) - len(wrong) - bool(done.why and begun)
    if opened > 0:
        yield Finding(
            "ok", "slides", f"{opened} of the {len(chosen)} looked at open and have µm/px (of {len(there):,} in all)"
        )
