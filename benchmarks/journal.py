"""Is anything lost when the labelling server is killed? A real server, three people at work, SIGKILL at any moment.

    .venv/bin/python benchmarks/journal.py [KILLS] | tee benchmarks/journal.md

After every kill the server is started again on the same labels. What it acknowledged before must be in the journal with
the number that was told, and the state it then tells must be that of the journal.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from machine import machine

REPO = Path(__file__).parent.parent
sys.path[:0] = [str(REPO), str(REPO / "workflow/scripts")]

from tests.labelling_results import make  # noqa: E402

from clusterfirst.labelling.record import journal  # noqa: E402
from clusterfirst.labelling.server.security import cookie_name  # noqa: E402

CELLS, LEAVES, PEOPLE = 2000, 12, 3
CLASSES = {"do": "classes", "classes": [{"name": name, "colour": "#112233"} for name in ("tumour", "stroma")]}


class Server:
    """A server process."""

    def __init__(self, results: Path):
        command = [sys.executable, "-m", "clusterfirst.labelling.cli", str(results), "--port", "0", "--no-browser"]
        paths = os.pathsep.join([str(REPO / "workflow/scripts"), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(self.process.communicate()[1])
        self.entrance = line.split()[1]
        at = urlsplit(self.entrance)
        self.token = f"{cookie_name(at.netloc)}={parse_qs(at.query)['token'][0]}"
        self.url = f"http://{at.netloc}/api/groups/a"

    def open(self, url: str, body: dict | None = None, who: str = "person 0"):
        headers = {"Content-Type": "application/json", "X-Clusterfirst": "1"}
        headers["Cookie"] = f"clusterfirst_who={who}; {self.token}"
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30)

    def ask(self, path: str, body: dict | None = None, who: str = "person 0") -> dict:
        with self.open(f"{self.url}/{path}", body, who) as answer:
            return json.load(answer)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def some_action(rng: random.Random) -> dict:
    rows = ",".join(map(str, sorted(rng.sample(range(CELLS), rng.randint(1, 400)))))
    return rng.choice(
        [
            {"do": "name", "leaves": [rng.randrange(LEAVES)], "class": rng.choice(["tumour", "stroma", None])},
            {"do": "cells", "rows": rows, "class": rng.choice(["tumour", "stroma", "", None])},
            {"do": "confirm", "rows": rows},
        ]
    )


def work(server: Server, who: str, seed: int, told: dict, sent: set) -> None:
    """Act until the server is gone; note what was acknowledged."""
    rng = random.Random(seed)
    while True:
        id = str(uuid.UUID(int=rng.getrandbits(128)))
        sent.add(id)
        try:
            body = {"base": 0, "id": id, "action": some_action(rng), "force": True}
            told[id] = server.ask("actions", body, who)["seq"]
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
            return  # killed: before, in the middle of, or after the request, before or in the middle of the answer


def main(kills: int) -> None:
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        results = make(Path(folder), slides={"a": CELLS}, edge=2000, leaves=LEAVES, picture=False)
        server = Server(results)
        server.ask("actions", {"base": 0, "id": "the-classes", "action": CLASSES})
        told, sent, torn, wrong_state, starts = {}, set(), 0, 0, []
        for kill in range(kills):
            people = [
                threading.Thread(target=work, args=(server, f"person {n}", kill * PEOPLE + n, told, sent))
                for n in range(PEOPLE)
            ]
            for person in people:
                person.start()
            time.sleep(rng.uniform(0.0, 0.5))
            server.kill()
            for person in people:
                person.join()
            (path,) = (results / "a/labels").glob("journal-*.jsonl")
            torn += not path.read_bytes().endswith(b"\n")
            start = time.perf_counter()
            server = Server(results)
            starts.append(time.perf_counter() - start)
            wrong_state += server.ask("state")["seq"] != len(journal.read(path)[1])
        server.kill()
        entries = {entry.id: entry.seq for entry in journal.read(path)[1]}
    lost = [id for id, seq in told.items() if entries.get(id) != seq]
    unanswered = sent - set(told)
    print(f"# Killing the labelling server\n\n{machine()}\n\n| | |\n|---|---:|")
    print(f"| kills (SIGKILL, 0 to 0.5 s after {PEOPLE} people began to act without pause) | {kills} |")
    print(f"| actions acknowledged | {len(told)} |")
    print(f"| **acknowledged actions lost** | **{len(lost)}** |")
    print(f"| requests without an answer when the server died | {len(unanswered)} |")
    print(f"| of these, done all the same (asked again, they are not done twice) | {len(unanswered & set(entries))} |")
    print(f"| torn last lines cut off | {torn} |")
    print(f"| restarts that told another state than the journal's | {wrong_state} |")
    print(f"| seconds from start to answering, median | {sorted(starts)[len(starts) // 2]:.1f} |")
    sys.exit(bool(lost or wrong_state))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
