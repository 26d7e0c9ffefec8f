"""What a call of Snakemake was asked for: pages wait for all of it, and what is wrong with any of it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Ask = Callable[[Any], Any]
"""An input or params function: takes wildcards."""


class Targets:
    """The targets of a call: names of rules, and files.

    Parameters
    ----------
    workflow
        Snakemake's, of which are asked `is_rule`, `get_rule` and ``dag_settings.targets``.
    error
        What functions of rules raise for something that the user can mend.
    """

    def __init__(self, workflow: Any, error: type[Exception]):
        self._workflow, self._error = workflow, error

    def together(self, ask: Ask) -> Ask:
        """Have a function that fails tell of all that is wrong with the targets.

        Snakemake looks at targets in any order, and stops at the first that is wrong.
        """

        def asked(wildcards: Any) -> Any:
            try:
                return ask(wildcards)
            except self._error:
                wrong = self._wrong()
                if asked not in wrong:
                    raise
                if asked is not next(iter(wrong)):
                    return []
            raise self._error("\n".join(dict.fromkeys(wrong.values()))) from None

        asked.alone = ask
        return asked

    def _wrong(self) -> dict[Ask, str]:
        """What is wrong, by what asks for the files."""
        wrong = {}
        for target in filter(self._workflow.is_rule, sorted(self._workflow.dag_settings.targets)):
            for asked in self._workflow.get_rule(target).input:
                try:
                    getattr(asked, "alone", bool)(None)
                except self._error as error:
                    wrong[asked] = str(error)
        return wrong

    def beside(self, pages: Sequence[str], wildcards: Any) -> list[str]:
        """Return the files that the other targets ask for, other than pages (names of rules) that tell of them."""
        files = [file for target in self._others(pages) for file in self._asked_by(target, wildcards)]
        return [file for file in dict.fromkeys(files) if file not in self._made_by(pages)]

    def or_later(self, find: Ask, pages: Sequence[str]) -> Ask:
        """Have a function give nothing where this call may make first what it tells of.

        Snakemake asks again before the job starts.
        """

        def ask(wildcards: Any) -> Any:
            try:
                return find(wildcards)
            except self._error:
                if self._others(pages):
                    return {}
                raise

        return ask

    def _others(self, pages: Sequence[str]) -> list[str]:
        return sorted({*self._workflow.dag_settings.targets} - {*pages} - self._made_by(pages))

    def _made_by(self, rules: Sequence[str]) -> set[str]:
        return {str(file) for rule in rules for file in self._workflow.get_rule(rule).output}

    def _asked_by(self, target: str, wildcards: Any) -> list[str]:
        """The files that a target stands for: a rule's own, or what it collects; or a file."""
        if not self._workflow.is_rule(target):
            return [target]
        known, files = self._workflow.get_rule(target), []
        for one in known.output or known.input:
            try:
                found = one(wildcards) if callable(one) else one
            except self._error:
                # It says so itself.
                found = []
            files += [found] if isinstance(found, str) else found
        return files
