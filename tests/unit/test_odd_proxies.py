"""Pictures go where the settings say, and nowhere else, whatever the environment says of proxies."""

import datetime
import ipaddress
import logging
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clusterfirst import proxies, weights
from clusterfirst.health.doctor.project import Project, used_proxies
from clusterfirst.io import ClusterfirstError
from clusterfirst.proposing import server
from clusterfirst.proposing.server import Passing, Server

from .. import chat_server as chat
from .. import forward_proxy
from ..defaults import section

KEY = "sk-proj-9f8e7d6c5b4a3210secret"
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
REQUEST = {"model": "seer-1", "messages": [{"role": "user", "content": [PICTURE]}]}


@pytest.fixture(autouse=True)
def secrets_stay_secret(monkeypatch, caplog):
    for name in (*forward_proxy.VARIABLES, "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (KEY, forward_proxy.PASSWORD, "open sesame"):
        assert secret not in caplog.text


@pytest.fixture
def proxy():
    with forward_proxy.running() as state:
        yield state


@pytest.fixture
def model():
    with chat.running(lambda number, asked: chat.answer()) as state:
        yield state


def settings(url, **changes):
    return section("classify", model="seer-1", base_url=url, **changes)


def ask(own):
    asked = Server(own)
    try:
        return asked.ask(REQUEST)
    finally:
        asked.close()


def set_all(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_of_the_environment_sees_nothing(proxy, model, monkeypatch, host):
    set_all(monkeypatch, proxy.environment())
    ask(settings(f"http://{host}:{model.port}/v1"))
    assert len(model.asked) == 1
    assert not proxy.seen


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_settings_may_let_the_environment_name_a_proxy(proxy, model, monkeypatch, variable):
    monkeypatch.setenv(variable, proxy.url)
    own = settings(model.url, proxy="environment")
    ask(own)
    assert (proxy.pictures, len(model.asked)) == (1, 1)
    method, address, headers, _ = proxy.seen[0]
    assert (method, address) == ("POST", f"{model.url}/chat/completions")
    assert headers["proxy-authorization"].startswith("Basic ")
    expected = f"127.0.0.1:{model.port} through the proxy http://127.0.0.1:{proxy.port} ({variable}), which receives"
    assert server.receivers(own, {variable: proxy.url}).startswith(expected)


def test_a_proxy_of_the_settings_needs_no_environment(proxy, model, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    ask(settings(model.url, proxy=f"http://127.0.0.1:{proxy.port}"))
    assert (proxy.pictures, len(model.asked)) == (1, 1)


@pytest.mark.parametrize("changes", [{}, {"azure_api_version": "2024-10-21"}], ids=["openai", "azure"])
@pytest.mark.parametrize("wanted", [None, "environment"])
def test_encrypted_requests_go_the_same_way(proxy, model, monkeypatch, wanted, changes):
    set_all(monkeypatch, proxy.environment())
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    own = settings(model.url.replace("http:", "https:"), proxy=wanted, **changes)
    with pytest.raises(Passing) as caught:
        ask(own)
    said = f"the proxy http://127.0.0.1:{proxy.port}"
    if wanted:
        assert [seen[:2] for seen in proxy.seen] == [("CONNECT", f"127.0.0.1:{model.port}")]
        assert f"through {said}" in str(caught.value)
    else:
        assert not proxy.seen
        assert f"({said} of https_proxy was not asked: see classify.proxy)" in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "address", "expected"),
    [
        ({"http_proxy": "proxy:3128"}, "http://gpu/v1", "http://proxy:3128"),
        ({"http_proxy": "proxy:3128"}, "https://gpu/v1", None),
        ({"http_proxy": "", "HTTP_PROXY": "http://other"}, "http://gpu/v1", None),
        ({"https_proxy": "http://a", "all_proxy": "http://b"}, "https://gpu/v1", "http://a"),
        ({"https_proxy": "http://a", "all_proxy": "http://b"}, "http://gpu/v1", "http://b"),
        ({"ALL_PROXY": "socks5://me:secret@b:1080/"}, "http://gpu/v1", "socks5://b:1080"),
    ],
)
def test_which_proxy_the_environment_names(variables, address, expected):
    found = proxies.named(address, variables)
    assert (found and str(found)) == expected
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("no_proxy", "host", "excepted"),
    [
        ("localhost,.example.org", "gpu.example.org", True),
        ("localhost, example.org", "example.org", True),
        (".example.org", "example.org", True),
        ("*.example.org", "gpu.example.org:8000", True),
        ("example.org", "badexample.org", False),
        ("gpu.example.org:8000", "gpu.example.org:8000", True),
        ("gpu.example.org:8000", "gpu.example.org", False),
        ("10.0.0.0/8", "10.1.2.3:8000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("http://gpu.example.org", "gpu.example.org", True),
        ("::1", "[::1]:8000", True),
        ("[::1]:8000", "[::1]:8000", True),
        ("GPU.example.org", "gpu.example.org", True),
        ("*", "anything", True),
        ("", "anything", False),
        (" , ", "anything", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_what_is_excepted_is_asked_directly(no_proxy, host, excepted, name):
    environment = {"http_proxy": "http://proxy:3128", name: no_proxy}
    found = server.proxy(settings(f"http://{host}/v1", proxy="environment"), environment)
    assert (found is None) == excepted


def test_pictures_that_are_excepted_do_not_reach_the_proxy(proxy, model, monkeypatch):
    set_all(monkeypatch, proxy.environment() | {"no_proxy": "127.0.0.0/8"})
    ask(settings(model.url, proxy="environment"))
    assert (len(proxy.seen), len(model.asked)) == (0, 1)


@pytest.mark.parametrize("value", ["http://me:secret@", "ftp://proxy", "http://a b"])
def test_what_is_no_proxy_is_refused_only_where_it_would_be_used(model, monkeypatch, value):
    monkeypatch.setenv("http_proxy", value)
    with pytest.raises(ClusterfirstError, match="http_proxy: the address of a proxy is to be like") as caught:
        server.check(settings(model.url, proxy="environment"), {"OPENAI_API_KEY": KEY, "http_proxy": value})
    assert "secret" not in str(caught.value)
    ask(settings(model.url))
    assert len(model.asked) == 1


def test_a_server_without_a_usable_port_is_refused():
    with pytest.raises(ClusterfirstError, match="the address of the server is to be like"):
        server.check(settings("http://localhost:eight/v1"), {"OPENAI_API_KEY": KEY})


def test_netrc_of_the_environment_adds_nothing(model, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    ask(settings(model.url))
    assert model.asked[0].headers["authorization"] == f"Bearer {KEY}"


def authority(folder):
    """A certificate that nobody else knows, as a hospital's own authority would sign it, and a context for a server."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own, secret = folder / "own.pem", folder / "secret.pem"
    own.write_bytes(certificate.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, secret)
    return own, context


def test_certificates_of_the_environment_count(model, monkeypatch, tmp_path):
    own, context = authority(tmp_path)
    with encrypted(context) as url:
        with pytest.raises(Passing, match="certificate"):
            ask(settings(url))
        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        assert "stroma" in ask(settings(url)).text
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
        with pytest.raises(ClusterfirstError, match=r"SSL_CERT_FILE names .*gone\.pem, which cannot be read"):
            ask(settings(url))


@contextmanager
def encrypted(context):
    """A model that answers over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            chat.answer()(self)

        def log_message(self, *_) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_) -> None:
            pass

    there = Quiet(("127.0.0.1", 0), Handler)
    there.socket = context.wrap_socket(there.socket, server_side=True)
    thread = threading.Thread(target=there.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{there.server_port}/v1"
    finally:
        there.shutdown()
        there.server_close()
        thread.join()


def test_weights_come_through_the_proxy_and_the_log_says_so(proxy, monkeypatch, tmp_path, caplog):
    set_all(monkeypatch, proxy.environment())
    source = weights.Url("http://127.0.0.1:9/net.pt")
    asset = weights.Asset(file="net.pt", sha256="0" * 64, sources=(source,), about="a small net", licence="")
    with pytest.raises(ClusterfirstError, match="no source gave the file"):
        weights.fetch(asset, tmp_path)
    assert [seen[:2] for seen in proxy.seen] == [("GET", "http://127.0.0.1:9/net.pt")]
    assert f"{source}, through the proxy http://127.0.0.1:{proxy.port} that the environment names" in caplog.text
    caplog.clear()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(ClusterfirstError):
        weights.fetch(asset, tmp_path)
    assert "through the proxy" not in caplog.text
    assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    ("classify", "said"),
    [
        ({}, []),
        ({"per_cluster": 1, "model": "m", "base_url": "http://gpu/v1"}, ["pictures of clusters go to gpu"]),
        (
            {"per_cluster": 1, "model": "m", "base_url": "http://m/v1", "proxy": "environment"},
            ["pictures of clusters go to m through the proxy http://proxy:3128 (http_proxy), which receives them, too"],
        ),
    ],
)
def test_the_doctor_tells_of_proxies(schema, classify, said):
    from clusterfirst.plan.settings import defaults, merge
    from clusterfirst.plan.sheet import Sample

    config = merge(defaults(schema), {"classify": classify})
    project = Project(config, schema, [Sample(slide="a", path="a.svs")])
    environment = {"http_proxy": "http://me:secret@proxy:3128"}
    first, *others = used_proxies(project, environment)
    assert first.text.startswith("the environment names http://proxy:3128: weights are fetched through it")
    assert [finding.text for finding in others] == said
    assert [bool(finding.advice) for finding in others] == [not classify.get("proxy")] * len(said)
    assert not list(used_proxies(project, {}))[len(said) :]
