# Trials of a sweep, and which slides are clustered together.
from functools import cache

from snakemake.utils import Paramspace

# A slide is known by its folder among the results: `a`, or `sweep/<trial>/a` for what a trial of a sweep makes of it.
# Cells that are clustered together are a group, known by its folder too: that of the slide, or `groups/<name>`.


@cache
def folder_of(trial):
    """The folder that holds what is computed with a trial's values, with a slash behind it; "" without a trial."""
    if not trial.values:
        return ""
    import pandas as pd

    space = Paramspace(
        pd.DataFrame([trial.words]), filename_params="*", filename_sep="__"
    )
    (name,) = space.instance_patterns
    if len(name) > 200:
        raise WorkflowError(
            f"config: sweep: {name} is too long for the name of a folder: sweep fewer keys at once"
        )
    return f"sweep/{name}/"


def all_trials():
    """Every trial by its folder, cut off after each section, and by tissue those of the whole sweep."""
    known, wanted = {"": sweeps.Trial(())}, {}
    for tissue in dict.fromkeys(sample.tissue for sample in SAMPLES.values()):
        wanted[tissue] = sweeps.trials(book.resolve(CONFIG, SCHEMA, tissue)["sweep"])
        for trial in wanted[tissue]:
            for part in map(trial.until, sweeps.ORDER):
                folder = folder_of(part)
                if known.setdefault(folder, part) != part:
                    raise WorkflowError(
                        f"config: sweep: two values are both written {folder}: change one of them slightly"
                    )
    return known, wanted


TRIALS, TRIALS_OF_TISSUE = all_trials()


def trial_and_name(folder):
    """Split the folder of a slide or group into that of its trial, and its own."""
    if not folder.startswith("sweep/"):
        return "", folder
    _, trial, name = folder.split("/", 2)
    return f"sweep/{trial}/", name


def sample_of(folder):
    """The row of the sheet that a slide's folder belongs to."""
    trial, name = trial_and_name(folder)
    if name not in SAMPLES or trial not in TRIALS:
        raise nobodys(folder)
    return SAMPLES[name]


def nobodys(folder):
    """The error that a folder of results is asked for that nothing makes."""
    return WorkflowError(
        f"{RESULTS}/{folder} belongs to no slide of {CONFIG['slides']}, and to no group or trial (clustering.scope, "
        "sweep) in the config"
    )


@cache
def folder_at(section, trial):
    if trial not in TRIALS:
        raise nobodys(trial)
    return folder_of(TRIALS[trial].until(section))


@cache
def resolved(tissue, trial):
    return book.resolve(CONFIG, SCHEMA, tissue, trial=TRIALS[trial].settings)


def settings_of(folder):
    """All settings that hold for a slide, or for the slides of a group."""
    if folder in GROUPS:
        folder = GROUPS[folder][0]
    return resolved(sample_of(folder).tissue, trial_and_name(folder)[0])


def slides_by_trial():
    """The slides that take part in each trial, by its folder."""
    by_tissue = {
        tissue: {
            folder_of(trial.until(section))
            for trial in wanted
            for section in sweeps.ORDER
        }
        for tissue, wanted in TRIALS_OF_TISSUE.items()
    }
    return {
        trial: [
            slide
            for slide, sample in SAMPLES.items()
            if not trial or trial in by_tissue[sample.tissue]
        ]
        for trial in TRIALS
    }


def group_of(trial, slide):
    """The folder of the group that a slide is clustered with."""
    sample = SAMPLES[slide]
    scope = resolved(sample.tissue, trial)["clustering"]["scope"]
    if scope == "slide":
        return f"{trial}{slide}"
    if scope == "cohort":
        return f"{trial}groups/cohort"
    if sample.tissue is None:
        raise WorkflowError(
            f"config: clustering.scope is tissue, but slide {slide} has none: fill in column 'tissue' of {CONFIG['slides']}"
        )
    return f"{trial}groups/tissue-{sweeps.word(sample.tissue)}"


def all_groups():
    """The folders of each group's slides, by the folder of the group, in the order of the sheet."""
    groups = {}
    for trial, slides in SLIDES_BY_TRIAL.items():
        for slide in slides:
            groups.setdefault(group_of(trial, slide), []).append(f"{trial}{slide}")
    return groups


def all_settings():
    """The settings of every tissue in every trial."""
    folders = {
        (SAMPLES[slide].tissue, trial): trial + slide
        for trial, slides in SLIDES_BY_TRIAL.items()
        for slide in slides
    }
    return [settings_of(folder) for folder in folders.values()]


def missing_weights():
    """Weights that can neither be fetched nor are a file."""
    known = ", ".join(registry.WEIGHTS)
    for settings in all_settings():
        for key, names in registry.weights_names(settings).items():
            for model, name in names.items():
                if not registry.is_asset(name) and not exists(named(name)):
                    yield (
                        f"config: {key}: no file {name} for {model}, and no weights of that name (known: {known})"
                    )


def missing_objects():
    """Slides that are to take outlines from elsewhere, and say none."""
    for trial, slides in SLIDES_BY_TRIAL.items():
        for slide in slides:
            model = settings_of(trial + slide)["segmentation"]["model"]
            if model == "precomputed" and SAMPLES[slide].objects is None:
                yield (
                    f"{CONFIG['slides']}: slide {slide} has no file in column objects, and segmentation.model is precomputed"
                )


def different_settings():
    """What slides that are to be clustered together would have to agree upon."""
    for group, members in GROUPS.items():
        first = settings_of(members[0])
        for other in members[1:]:
            if settings_of(other) is first:
                # Of the same tissue.
                continue
            for section in ("embedding", "reduction", "clustering", "classify"):
                own = settings_of(other)[section]
                for key in own:
                    if own[key] != first[section][key]:
                        yield (
                            f"config: {section}.{key} is {first[section][key]} for slide {members[0]}, but {own[key]} for "
                            f"slide {other}: slides that are clustered together (clustering.scope) need the same"
                        )


def tissues_of_one_name():
    """Tissues whose groups would have the same folder."""
    for group, members in GROUPS.items():
        if not trial_and_name(group)[1].startswith("groups/tissue-"):
            continue
        names = list(dict.fromkeys(sample_of(member).tissue for member in members))
        if len(names) > 1:
            yield (
                f"{CONFIG['slides']}: tissues {', '.join(map(repr, names))} are written the same in names of folders "
                "(clustering.scope is tissue): spell them the same, or change all but one"
            )


SLIDES_BY_TRIAL = slides_by_trial()
GROUPS = all_groups()
# Slides that get their maps and clusters from a group.
SHARING = {
    member: group
    for group, members in GROUPS.items()
    for member in members
    if group != member
}


def any_of(names):
    """A pattern of some names, or of none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def any_folder(folders):
    """A pattern of some folders of slides; trials of the same slides share one list of them."""
    names, trials = {}, {}
    for trial, name in map(trial_and_name, folders):
        names.setdefault(trial, []).append(name)
    for trial, own in names.items():
        trials.setdefault(tuple(own), []).append(trial)
    # Results of no trial have no folder before them: an empty choice.
    parts = [
        f"(?:{'|'.join(map(re.escape, own))})(?:{any_of(names)})"
        for names, own in trials.items()
    ]
    return "|".join(parts) or any_of([])


# Of all trials.
SLIDES = [
    trial + slide for trial, slides in SLIDES_BY_TRIAL.items() for slide in slides
]


# Snakemake goes through the whole pattern of a wildcard for every file of every job. A pattern that lists all slides would
# make the time of a dry-run grow with their square: what is no slide's folder is found out by `sample_of`.
A_SLIDE = "(?:sweep/[^/]+/)?[^/]+"
A_GROUP = "(?:sweep/[^/]+/)?groups/[^/]+"
ALONE = [slide for slide in SLIDES if slide not in SHARING]


def sharing_and_group():
    """Patterns of slides that get their maps and clusters from a group, and of all that is clustered by itself."""
    if not SHARING:
        return any_of([]), A_SLIDE
    if not ALONE:
        return A_SLIDE, A_GROUP
    # Both make the same files of slides; only names can tell whose turn it is.
    return any_folder(SHARING), f"{A_GROUP}|{any_folder(ALONE)}"


SHARING_SLIDE, GROUP = sharing_and_group()


wildcard_constraints:
    slide=A_SLIDE,
    group=GROUP,


def members_of(wildcards):
    """The folders of the slides of a group."""
    if wildcards.group not in GROUPS:
        raise nobodys(wildcards.group)
    return GROUPS[wildcards.group]


def of_members(section, file):
    """An input function: that file of every slide of the group."""
    return lambda wildcards: [
        at(section, member, file) for member in members_of(wildcards)
    ]


def of_group(section, file):
    """An input function: that file of the group, or of the group that the slide belongs to."""

    def find(wildcards):
        if group := wildcards.get("group"):
            return at(section, group, file)
        return at(section, SHARING[wildcards.slide], file)

    return find


def names_of_members(wildcards):
    """The slides of a group, in the order of its cells."""
    return [sample_of(member).slide for member in members_of(wildcards)]


def every_group(file):
    """An input function: that file of every group, outside of any trial."""
    return lambda wildcards: [
        f"{RESULTS}/{group}/{file}"
        for group in GROUPS
        if not group.startswith("sweep/")
    ]


def whole_trials():
    """The trials of the whole sweep, by folder, and the slides that take part."""
    tissues = {}
    for tissue, wanted in TRIALS_OF_TISSUE.items():
        for folder in map(folder_of, wanted):
            tissues.setdefault(folder, set()).add(tissue)
    # What is a whole trial of one tissue may be the beginning of another's.
    return {
        trial: [
            slide for slide in SLIDES_BY_TRIAL[trial] if SAMPLES[slide].tissue in those
        ]
        for trial, those in tissues.items()
    }


def trial_files(scores):
    """An input function: what is known of each trial, from the truth of its slides, or without."""

    def find(wildcards):
        trials = whole_trials()
        if not trials:
            raise WorkflowError(
                "there is nothing to sweep: list values under `sweep:` in the config, e.g. clustering.groups: [15, 25]"
            )
        if scores:
            return [
                f"{RESULTS}/{trial}{slide}/evaluation/clusters.json"
                for trial, slides in trials.items()
                for slide in slides
                if SAMPLES[slide].truth
            ]
        groups = dict.fromkeys(
            group_of(trial, slide)
            for trial, slides in trials.items()
            for slide in slides
        )
        return [f"{RESULTS}/{group}/evaluation/validity.json" for group in groups]

    return find


def described_trials(wildcards):
    """Per trial: the values it tries, and per slide its tissue and group."""
    return [
        {
            "folder": trial,
            "values": dict(TRIALS[trial].values),
            "slides": {
                slide: {
                    "tissue": SAMPLES[slide].tissue,
                    "group": group_of(trial, slide),
                }
                for slide in slides
            },
        }
        for trial, slides in whole_trials().items()
    ]


def unknown_balance():
    """Weights of models that the embedding does not have."""
    for trial in ("", *whole_trials()):
        for slide in SLIDES_BY_TRIAL[trial]:
            settings = settings_of(trial + slide)
            models = settings["embedding"]["models"]
            for model in set(settings["reduction"]["balance"]) - set(models):
                yield f"config: reduction.balance: {model} is none of embedding.models ({', '.join(models)})"


def missing_models():
    """Pictures that are to be shown to a model, and it is not said which."""
    for settings in all_settings():
        if settings["classify"]["per_cluster"] and not settings["classify"]["model"]:
            yield "config: classify.per_cluster is not 0: which model is to be asked? Set classify.model, as the server calls it"


if problems := list(
    dict.fromkeys(
        [
            *missing_weights(),
            *missing_objects(),
            *tissues_of_one_name(),
            *different_settings(),
            *unknown_balance(),
            *missing_models(),
        ]
    )
):
    raise WorkflowError("\n".join(problems))
