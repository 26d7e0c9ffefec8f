"""What models write around and into their answers: understood where there is one meaning, else asked for again."""

import json

import pytest
from hypothesis import given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from clusterfirst.proposing import answers

WORDS = ["plasma cell", "stroma", "unsure"]
ANSWER = '{"class": "stroma", "confidence": 0.8, "rationale": "slender {nuclei}"}'
DRAFT = '{"class": "plasma cell", "confidence": 0.1, "rationale": "first thought"}'


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"<think>A set {{stroma, nerve}}? Maybe {{ or so.</think>{ANSWER}",
        f"<think>{DRAFT}</think>\n\n{ANSWER}",
        f"It began without a tag {{\n</think>\n{ANSWER}",
        f"<THINKING>}}{{</THINKING>```json\n{ANSWER}\n```",
        f"[THINK]{DRAFT}[/THINK]{ANSWER}",
        f"```json\n{ANSWER}\n```\nwith {{braces}} after it",
        f"```\n{ANSWER}\n```",
        f"Seen: {{nuclei, fibres}}. {ANSWER} That is all }}.",
        f'{{"cells": 9}} so {ANSWER}',
        f"{ANSWER}\n{ANSWER}",
        ANSWER.replace("slender", "slender <think>"),
        f"[{ANSWER}]",
    ],
)
def test_an_answer_is_found(text):
    assert answers.parse(text, WORDS) | {"rationale": ""} == {"class": "stroma", "confidence": 0.8, "rationale": ""}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{DRAFT}\n{ANSWER}", "2 different answers"),
        (f"<think>{ANSWER}</think>", "not valid JSON"),
        (f"<think>{ANSWER}", "among thoughts"),
        ('{"class": "stroma", "class": "plasma cell", "confidence": 1, "rationale": ""}', "twice"),
        (
            '{"answer": {"class": "stroma", "confidence": 1, "rationale": ""}}',
            "confidence, rationale is missing",
        ),
        ("{}", "is missing"),
    ],
)
def test_what_has_several_meanings_is_no_answer(text, why):
    with pytest.raises(answers.BadAnswer, match=why):
        answers.parse(text, WORDS)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0),
        (1, 1),
        (0.8, 0.8),
        ("0.8", 0.8),
        (" .8 ", 0.8),
        ("0,8", 0.8),
        ("1", 1),
        (80, 0.8),
        (80.5, 0.805),
        ("80", 0.8),
        ("80%", 0.8),
        ("80 %", 0.8),
        ("2%", 0.02),
        (100, 1),
    ],
)
def test_a_confidence_is_understood(given, expected, caplog):
    caplog.set_level("INFO")
    text = json.dumps({"class": "stroma", "confidence": given, "rationale": ""})
    assert answers.parse(text, WORDS)["confidence"] == expected
    assert ("was taken for" in caplog.text) == (str(given).strip(" %") in {"80", "80.5", "2", "100"})


@pytest.mark.parametrize(
    "given",
    [8, 1.5, "8", "0.8%", -0.1, "-0.8", 101, "180%", "high", "", "1.000,5", None, True, [0.8], float("nan"), "٨"],
)
def test_a_confidence_in_doubt_is_refused(given):
    with pytest.raises(answers.BadAnswer, match="confidence is not a number from 0 to 1"):
        answers.parse(json.dumps({"class": "stroma", "confidence": given, "rationale": ""}), WORDS)


@given(st.data())
@fuzz(max_examples=100, deadline=None)
def test_a_damaged_answer_is_read_right_or_refused(data):
    text = f"<think>{DRAFT}</think>```json\n{ANSWER}\n```"
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 8)))
    text = text[:at] + data.draw(st.text('{}[]"\\,:<>/ a0', max_size=4)) + text[end:]
    try:
        found = answers.parse(text, WORDS)
    except answers.BadAnswer:
        return
    assert found["class"] in WORDS
    assert 0 <= found["confidence"] <= 1
