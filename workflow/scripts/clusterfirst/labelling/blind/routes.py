"""The routes of blind evaluation. Until a batch is finished, nothing they tell depends on clusters.

A sample is told by ``?cells=200&seed=0`` (cells of a batch, seed), a batch by its number. The page needs nothing else
but ``/api/project`` and the slides' tiles: it never asks for the state or the cells of the group.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import HTTPException
from pydantic import BaseModel, Field

from ..server.requests import ID, answer, known_person, person, session_of, workspace_of
from .samples import SIZE, Key
from .study import Study

router = APIRouter()


class Sample(BaseModel):
    """How cells are chosen."""

    cells: int = SIZE
    seed: int = 0


class BlindAction(Sample):
    """An action that a browser asks for."""

    id: str = Field(pattern=ID)
    study: str
    action: dict


def _study(request: Request, group: str) -> Study:
    session_of(request, group)
    return workspace_of(request).study(group)


OfGroup = Annotated[Study, Depends(_study)]
OfSample = Annotated[Sample, Depends()]


@router.get("/api/groups/{group:path}/blind")
def overview(request: Request, study: OfGroup, sample: OfSample):
    """All batches, see `Study.overview`."""
    return answer(study.overview(person(request), sample.cells, sample.seed))


@router.get("/api/groups/{group:path}/blind/score")
def score(request: Request, study: OfGroup, sample: OfSample, batch: int | None = None):
    """What came of a batch, or of all finished ones, see `Study.score`. 409 before the person has finished it."""
    score = study.score(known_person(request), sample.cells, sample.seed, batch, workspace_of(request).outlines)
    if score is None:
        raise HTTPException(409, "Finish the batch first: clusters are shown only then")
    return answer(score)


@router.get("/api/groups/{group:path}/blind/{number:int}")
def batch(request: Request, study: OfGroup, sample: OfSample, number: int):
    """The tiles and cells of a batch and what the person answered, see `Study.batch`."""
    key = Key(sample.cells, sample.seed, number)
    return answer(study.batch(person(request), key, workspace_of(request).outlines))


@router.post("/api/groups/{group:path}/blind/truth")
def truth(request: Request, study: OfGroup, sample: Sample):
    """Write the person's finished batches as files that column ``truth`` of the slide sheet takes."""
    return answer({"files": study.write_truth(known_person(request), sample.cells, sample.seed)})


@router.post("/api/groups/{group:path}/blind/{number:int}")
def act(request: Request, study: OfGroup, number: int, asked: BlindAction):
    """Do an action, see `Study.act`. It is on disk when the answer comes."""
    key = Key(asked.cells, asked.seed, number)
    return answer(study.act(known_person(request), asked.id, asked.study, key, asked.action))
