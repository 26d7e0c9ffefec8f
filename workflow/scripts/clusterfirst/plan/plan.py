"""A run as an object: what the rules ask of configuration, sheet and sweep, answered for each slide and group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path

from .. import segmentation, weights
from ..io import ClusterfirstError, check_names
from ..labels import people
from . import checks, sizes, small, wanted
from .groups import Groups, group_of
from .layout import SlideFolder
from .networks import assets, weights_names
from .settings import Settings, check_config, defaults, merge, resolve, write_out_paths
from .sheet import Sample, read_sheet
from .stages import CHAINS, STAGES, Case
from .trials import Trials, in_sweep, split


class Plan:
    """A run: its slides, what is tried, what is clustered together, and where everything lies.

    A slide or group is known by its folder below the results (see `groups`); either is called a unit.

    Parameters
    ----------
    config
        With defaults.
    schema
        Its schema.
    samples
        Rows of the sheet, by slide.
    on_disk
        Gives where a path of results lies on this disk.
    in_storage
        Whether a path lies in a storage: if results do, nothing is looked for here.
    chains
        Whether one job can do several stages of small images, and several images.

    Raises
    ------
    ClusterfirstError
        Slides cannot be grouped, or trials not be told apart.
    """

    def __init__(
        self,
        config: Mapping,
        schema: Mapping,
        samples: Mapping[str, Sample],
        *,
        on_disk: Callable[[str], str] = str,
        in_storage: Callable[[str], bool] = lambda path: False,
        chains: bool = False,
    ):
        self.config, self.schema, self.samples = config, schema, samples
        self._chained = chains
        self.on_disk = on_disk
        # As Path writes it: ./results would be another file to Snakemake than results, and no size of it known.
        self.results = Path(config["results"]).as_posix()
        self.stored = in_storage(f"{self.results}/")
        self.models_dir = config["models_dir"].rstrip("/")
        self._settings: dict[tuple[str | None, str], Settings] = {}
        self._folders: dict[tuple[str | None, str], str] = {}
        self._cells: dict[str, float] = {}
        tissues = dict.fromkeys(sample.tissue for sample in samples.values())
        self.trials = Trials.of({tissue: resolve(config, schema, tissue).sweep for tissue in tissues})
        self.groups = Groups.of(self.slides_of, self.group_of)

    @classmethod
    def read(
        cls,
        config: Mapping,
        schemas: Mapping[str, Mapping],
        *,
        exists: Callable[[str], bool],
        has_weights: Callable[[str], bool],
        on_disk: Callable[[str], str] = str,
        in_storage: Callable[[str], bool] = lambda path: False,
        chains: bool = False,
    ) -> Plan:
        """Check configuration and sheet, then plan.

        Parameters
        ----------
        config
            As the user gave it.
        schemas
            JSON schemas: ``config``, and ``slides`` for a row of the sheet.
        exists, has_weights
            Whether a file that the sheet names, or a file of weights, is there or will be.
        on_disk, in_storage, chains
            See the class.

        Raises
        ------
        ClusterfirstError
            Lists every problem of both at once; or, once each is in order by itself, of how they go together.
        """
        config, wrong = write_out_paths(config, schemas["config"])
        problems = [f"config: {line}" for line in [*wrong, *check_config(config, schemas["config"])]]
        full, samples = merge(defaults(schemas["config"]), config), []
        if isinstance(full["slides"], str):
            try:
                check_names(map(str, map(full.get, ("slides", "results", "models_dir"))))
                samples = read_sheet(full["slides"], schemas["slides"], exists=exists)
            except ClusterfirstError as error:
                problems.append(str(error))
        if problems:
            raise ClusterfirstError("\n".join(problems))
        by_name = {sample.slide: sample for sample in samples}
        plan = cls(full, schemas["config"], by_name, on_disk=on_disk, in_storage=in_storage, chains=chains)
        if problems := checks.problems(plan, has_weights):
            raise ClusterfirstError("\n".join(problems))
        return plan

    # --- slides and trials ---------------------------------------------------------------------------------------

    @cached_property
    def slides_of(self) -> dict[str, list[str]]:
        """By the folder of a trial, the slides that take part in it; "" is the ordinary run."""
        return {
            trial: [
                slide
                for slide, sample in self.samples.items()
                if not trial or trial in self.trials.of_tissue[sample.tissue]
            ]
            for trial in self.trials.parts
        }

    @cached_property
    def whole_trials(self) -> dict[str, list[str]]:
        """By the folder of a trial of the whole sweep, the slides whose sweep it is."""
        return {
            trial: [slide for slide in self.slides_of[trial] if self.samples[slide].tissue in tissues]
            for trial, tissues in self.trials.tissues_of.items()
        }

    def sample(self, unit: str) -> Sample:
        """Return the row of the sheet that a slide belongs to.

        Raises
        ------
        ClusterfirstError
            Nothing makes such a slide.
        """
        trial, name = split(unit)
        if name not in self.samples or trial not in self.trials.parts:
            raise self._nobodys(unit)
        return self.samples[name]

    def settings(self, unit: str) -> Settings:
        """Return all settings that hold for a slide, or for the slides of a group."""
        if unit in self.groups.members:
            unit = self.groups.members[unit][0]
        return self._of_tissue(self.sample(unit).tissue, split(unit)[0])

    def _of_tissue(self, tissue: str | None, trial: str) -> Settings:
        if (tissue, trial) not in self._settings:
            own = self.trials.parts[trial].settings
            self._settings[tissue, trial] = resolve(self.config, self.schema, tissue, trial=own)
        return self._settings[tissue, trial]

    def every_settings(self) -> list[Settings]:
        """Return the settings of every tissue in every trial."""
        units = {
            (self.samples[slide].tissue, trial): trial + slide
            for trial, slides in self.slides_of.items()
            for slide in slides
        }
        return [self.settings(unit) for unit in units.values()]

    # --- small images --------------------------------------------------------------------------------------------

    @cached_property
    def small(self) -> frozenset[str]:
        """The slides of which one job does many; see `small.small_slides`."""
        return small.small_slides(self) if self._chained else frozenset()

    @cached_property
    def chains(self) -> dict[str, frozenset[str]]:
        """By the rule that does several stages at once, the slides that it is for."""
        return {chain: small.slides_of(self, chain) for chain in CHAINS}

    @cached_property
    def largest_small(self) -> sizes.Size:
        """What no small image exceeds, as well as is known by now: a job may do any of them."""
        return sizes.largest(map(self.size_of_slide, self.small))

    # --- groups --------------------------------------------------------------------------------------------------

    def group_of(self, trial: str, slide: str) -> str:
        """Return the group that a slide is clustered with in a trial.

        Raises
        ------
        ClusterfirstError
            That would be its tissue, and it has none.
        """
        sample = self.samples[slide]
        scope = self._of_tissue(sample.tissue, trial).clustering["scope"]
        if scope == "tissue" and sample.tissue is None:
            raise ClusterfirstError(
                f"config: clustering.scope is tissue, but slide {slide} has none: fill in column 'tissue' of "
                f"{self.config['slides']}"
            )
        return group_of(trial, sample, scope)

    def members(self, group: str) -> list[str]:
        """Return the slides of a group.

        Raises
        ------
        ClusterfirstError
            Nothing makes such a group.
        """
        if group not in self.groups.members:
            raise self._nobodys(group)
        return self.groups.members[group]

    def names(self, group: str) -> list[str]:
        """Return the names of a group's slides in the sheet, in the order of its cells."""
        return [self.sample(member).slide for member in self.members(group)]

    def groups_in_run(self) -> list[str]:
        """Return the groups of the ordinary run."""
        return [group for group in self.groups.members if not in_sweep(group)]

    # --- files ---------------------------------------------------------------------------------------------------

    def at(self, stage: str, unit: str, key: str) -> str:
        """Return where a file of a stage lies, for a slide or group: with the first trial that needs just that.

        Parameters
        ----------
        stage, key
            See `stages.Stage`.
        """
        row, (trial, name) = STAGES[stage], split(unit)
        return f"{self.results}/{self.folder_of(row.section, trial)}{name}/{row.files[key]}"

    def folder_of(self, section: str | None, trial: str) -> str:
        """Return the folder of what depends on no section after that one; without one, the trial's own."""
        if section is None:
            return trial
        if trial not in self.trials.parts:
            raise self._nobodys(trial)
        if (section, trial) not in self._folders:
            self._folders[section, trial] = self.trials.parts[trial].until(section).folder
        return self._folders[section, trial]

    def path(self, unit: str, file: str) -> str:
        """Return where a file of a slide or group lies, as rules name it; for its name, see `layout`."""
        return f"{self.results}/{unit}/{file}"

    def local_results(self) -> str:
        """Return where the results lie on this disk.

        Raises
        ------
        ClusterfirstError
            They lie in a storage.
        """
        if self.stored:
            raise ClusterfirstError(
                "status and the cohort page look at files on this disk, but the results go to a storage: see "
                "docs/cloud.md"
            )
        return self.on_disk(self.results)

    def newest_labels(self, slide: str) -> str | None:
        """Return the latest export of a slide's labels; None if there is none.

        The app writes beside the results, on this disk; nothing is looked for in a storage.
        """
        if self.stored:
            return None
        folder = self.path(slide, SlideFolder.labels)
        newest = people.newest(self.on_disk(folder))
        return newest and f"{folder}/{newest.name}"

    def _nobodys(self, unit: str) -> ClusterfirstError:
        return ClusterfirstError(
            f"{self.results}/{unit} belongs to no slide of {self.config['slides']}, and to no group or trial "
            "(clustering.scope, sweep) in the config"
        )

    # --- what is to be done --------------------------------------------------------------------------------------

    def is_asked(self, unit: str) -> bool:
        """Whether a model is asked about the clusters of a slide or group."""
        return self.settings(unit).classify["per_cluster"] > 0

    def given(self, unit: str) -> bool:
        """Whether the outlines of a slide come from elsewhere."""
        return self.settings(unit).segmentation["model"] == segmentation.GIVEN

    def truth(self, unit: str) -> str:
        """Return the file that says what the cells of a slide are.

        Raises
        ------
        ClusterfirstError
            The sheet has none.
        """
        sample = self.sample(unit)
        if not sample.truth:
            raise ClusterfirstError(
                f"slide {unit} has no truth: name its file in column 'truth' of {self.config['slides']}"
            )
        return sample.truth

    def segmentation(self, unit: str, *, without: Collection[str] = ()) -> dict:
        """Return what decides the outlines of a slide: what its model does not look at is left out, and these keys.

        Weights stand there by name, or as a path.
        """
        settings = self.settings(unit)
        names = weights_names(settings).get("segmentation", {})
        used = {**settings.segmentation, "weights": names.get(settings.segmentation["model"])}
        return {key: value for key, value in segmentation.own_settings(used).items() if key not in without}

    def case(self, trial: str, slide: str) -> Case:
        """Return what decides which stages a slide goes through in a trial."""
        return Case(
            settings=self.settings(trial + slide),
            trial=bool(trial),
            named=not trial and wanted.has_labels(self, slide),
            asked=self.is_asked(slide),
            truth=self.samples[slide].truth is not None,
        )

    def weights(self) -> list[str]:
        """Return the files of all weights that the run needs and that can be fetched, in the folder of models."""
        names = {name for settings in self.every_settings() for name in assets(settings)}
        return sorted(str(weights.weights_file(name, self.models_dir)) for name in names)

    def slides_that_need(self, file: str) -> list[str]:
        """Return the slides whose networks use the fetched weights of that file name."""

        def files(slide: str) -> set[str]:
            return {weights.weights_file(name, self.models_dir).name for name in assets(self.settings(slide))}

        return [slide for slide in self.samples if file in files(slide)]

    def weights_files(self, section: str, unit: str) -> dict[str, str]:
        """Return the files of the weights that a section's networks use for a slide, by model."""
        names = weights_names(self.settings(unit)).get(section, {})
        return {model: str(weights.weights_file(name, self.models_dir)) for model, name in names.items()}

    # --- how large it is -----------------------------------------------------------------------------------------

    def size_of_slide(self, unit: str) -> sizes.Size:
        """Return how large a slide is, as well as is known by now."""
        sample = self.sample(unit)
        tables = {"tiles": ("tile", "tiles"), "filtered": ("filter_tiles", "tiles"), "masks": ("segment", "cells")}
        return sizes.of_slide(
            sample.path,
            mpp=sample.mpp,
            tiling=self.settings(unit).tiling,
            **{name: self.on_disk(self.at(stage, unit, key)) for name, (stage, key) in tables.items()},
        )

    def size_of_group(self, group: str) -> sizes.Size:
        """Return how large all slides of a group are together."""
        return sum(map(self.size_of_slide, self.groups.members[group]), start=sizes.Size())

    def planned_cells(self, group: str) -> float:
        """Return the cells of a group before they are counted, reckoned once: each of its slides asks."""
        if group not in self._cells:
            self._cells[group] = self.size_of_group(group).cells
        return self._cells[group]
