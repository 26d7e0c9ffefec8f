# Which clusters a multimodal model is asked about, and with what prompt.
import os

from clusterfirst.proposing import server as model_server

# A folder of the prompts that come with the workflow, if it lies on this disk.
PROMPTS = rules_folder.parent.parent / "resources/prompts" if HERE.is_local else None


def classified(folder):
    """Whether a model is asked about the clusters of a slide or group."""
    return settings_of(folder)["classify"]["per_cluster"] > 0


def asked_groups():
    """Groups of the ordinary run for which that is switched on."""
    return [
        group
        for group in GROUPS
        if not group.startswith("sweep/") and classified(group)
    ]


def proposal_files():
    """What is proposed for their clusters."""
    return [f"{RESULTS}/{group}/classes.json" for group in asked_groups()]


def proposals_of(wildcards):
    """An input function: the proposals for the clusters of a slide, of its group if it shares them; or nothing."""
    if not classified(wildcards.slide):
        return []
    group = SHARING.get(wildcards.slide, wildcards.slide)
    return [f"{RESULTS}/{group}/classes.json"]


def all_proposals(wildcards):
    """An input function: the same of all groups; that there are none is an error only to those who ask."""
    if asked_groups():
        return proposal_files()
    raise WorkflowError(
        "config: classify.per_cluster is 0, so no model is asked: set it to 3, say, and classify.model, and see "
        "`snakemake classify_preview` for what would be sent (docs/classification.md)"
    )


def all_views(wildcards):
    """An input function: the pictures that a model would be shown, of all groups; see `all_proposals`."""
    all_proposals(wildcards)
    return [f"{RESULTS}/{group}/views" for group in asked_groups()]


def prompt_of(group):
    """The file that says what is asked about a group's clusters."""
    wanted = settings_of(group)["classify"]["prompt"]
    if Path(wanted).name != wanted or wanted.endswith((".yaml", ".yml")):
        return named(wanted)
    if PROMPTS is None:
        raise WorkflowError(
            "config: classify.prompt: name a file of your own, for the workflow's do not lie on this disk"
        )
    if wanted == "auto":
        tissues = {sample_of(member).tissue for member in GROUPS[group]}
        own = (
            PROMPTS / f"{str(*tissues).casefold()}.yaml" if len(tissues) == 1 else None
        )
        wanted = own.stem if own and own.is_file() else "default"
    path = PROMPTS / f"{wanted}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in PROMPTS.glob("*.yaml")))
        raise WorkflowError(
            f"config: classify.prompt: there is no prompt {wanted}. Known: {known}; or the path of your own"
        )
    return local(str(path))


def announce_asking():
    """Say where pictures will go; stop before anything is done if it would end at a missing key or model."""
    if workflow.touch:
        return
    groups = [
        job.wildcards.group
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "classify_clusters"
    ]
    hosts = set()
    for group in groups:
        settings = settings_of(group)["classify"]
        try:
            model_server.check(settings, os.environ)
        except ClusterfirstError as error:
            raise WorkflowError(str(error))
        hosts.add(model_server.host(model_server.address(settings, os.environ)))
    if groups:
        logger.warning(
            f"classify.per_cluster is not 0: pictures of the clusters of {len(groups)} slides or groups go to a model at "
            f"{', '.join(sorted(hosts))}, unless its answers are known"
        )
