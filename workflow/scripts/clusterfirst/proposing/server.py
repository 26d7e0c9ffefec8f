"""One request to a server that speaks the chat completions API: OpenAI, Azure, vLLM, Ollama, and many others."""

from __future__ import annotations

import email.utils
import os
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from .. import proxies
from ..io import ClusterfirstError, log
from ..proxies import Proxy
from .answers import harmless

OPENAI = "https://api.openai.com/v1"
_ADDRESS = re.compile(r"https?://(?P<host>[^/@?#\s]+)(/[^@?#\s]*)?")
_KEY_LIKE = re.compile(r"\bsk-[\w*.-]{6,}")
"""Servers quote keys in their errors, half of them starred out."""
_LOCAL = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?")
_LONGEST_MESSAGE = 500
_AGAIN = {408, 409, 425, 429}
_TIMED_OUT = {504, 524}
"""A gateway waited too long: the model behind it may have answered all the same."""
_HINTS = {
    401: "is the key right, and for this server?",
    403: "may this key use this model?",
    404: "are classify.base_url and classify.model right?",
    413: "the picture is too large for this server",
}


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes
    ----------
    text : str
    finish : str
        Why it ended: ``stop``, or ``length`` where it was cut off.
    refusal : str
        Why it would not answer; empty if it did.
    prompt_tokens, completion_tokens : int or None
        As the server counted.
    """

    text: str
    finish: str
    refusal: str
    prompt_tokens: int | None
    completion_tokens: int | None


class ServerError(ClusterfirstError):
    """Asking again would not help."""


class Passing(Exception):
    """Asking again may help.

    Parameters
    ----------
    why
        What happened.
    after
        Seconds that the server asks to wait, if it does.
    charged
        Whether the request may have cost tokens all the same.
    """

    def __init__(self, why: str, *, after: float | None = None, charged: bool = True):
        super().__init__(why)
        self.after = after
        self.charged = charged


class Server:
    """A server and the right to ask it. Safe to use from several threads.

    The key comes from the environment and stays in here: `clean` takes it out of whatever the server says.

    Parameters
    ----------
    settings
        The section ``classify`` of the configuration.
    environment
        Variables by name.

    Raises
    ------
    ClusterfirstError
        Something is missing; see `check`.
    """

    def __init__(self, settings: Mapping, environment: Mapping[str, str] = os.environ):
        check(settings, environment)
        self.address = address(settings, environment)
        self.host = host(self.address)
        self.receivers = receivers(settings, environment)
        """Who gets the pictures, in words."""
        self._proxy = proxy(settings, environment)
        self._unused = None if self._proxy else proxies.named(self.address, environment)
        self._key = key(settings, environment)
        self._secrets = {self._key, *(self._proxy.secrets if self._proxy else ())} - {""}
        if self._key and self.address.startswith("http:") and (self._proxy or not _LOCAL.fullmatch(self.host)):
            log.warning("%s is not encrypted: pictures and the key can be read on the way", self.address)
        self._client = self._made(settings, environment)

    def _made(self, settings: Mapping, environment: Mapping[str, str]):
        import openai

        given = {
            "api_key": self._key or "none",
            "timeout": settings["timeout_s"],
            # Each attempt counts against the budget: we try again ourselves.
            "max_retries": 0,
            "http_client": self._transport(openai.DefaultHttpxClient, environment),
        }
        if version := settings["azure_api_version"]:
            return openai.AzureOpenAI(azure_endpoint=self.address, api_version=version, **given)
        return openai.OpenAI(base_url=self.address, **given)

    def _transport(self, client: type, environment: Mapping[str, str]):
        """What sends requests. A picture goes where the settings say and nowhere else.

        `trust_env` would have proxies taken from the environment, and, with macOS, from the system.
        """
        own = {"trust_env": False, "follow_redirects": False, "verify": _certificates(environment)}
        try:
            return client(**own, proxy=self._proxy.url if self._proxy else None)
        except (ImportError, ValueError) as error:
            what = f"{type(error).__name__}: {self.clean(str(error))}" if self._proxy else str(error)
        raise ClusterfirstError(f"{self._proxy} ({self._proxy.source}) cannot be used as a proxy: {what}")

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def clean(self, text: str) -> str:
        """Return a text without the key and the password of a proxy, and `harmless`."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return harmless(_KEY_LIKE.sub("[key]", text))

    def ask(self, request: Mapping) -> Reply:
        """Send one request.

        Parameters
        ----------
        request
            ``model``, ``messages``, and what else the server is to be told.

        Raises
        ------
        ServerError
            The server will not have it: wrong key, model, or parameters.
        Passing
            The server was busy, broken, or could not be reached.
        """
        import openai

        more = {name: value for name, value in request.items() if name not in ("model", "messages")}
        # Exceptions of the library hold the request with its headers: none of them is passed on, nor chained.
        try:
            told = self._client.chat.completions.create(
                model=request["model"], messages=request["messages"], extra_body=more
            )
            return self._reply(told)
        except openai.APIStatusError as error:
            failure = self._refused(error)
        except openai.APITimeoutError:
            failure = Passing(f"no answer from {self._way} in time (classify.timeout_s){self._hint_at_proxy}")
        except openai.APIConnectionError as error:
            cause = error.__cause__
            what = self.clean(str(cause or error)) or type(cause or error).__name__
            failure = Passing(
                f"the connection to {self._way} failed or broke off: {what[:_LONGEST_MESSAGE]}{self._hint_at_proxy}"
            )
        except (openai.APIError, ValueError, AttributeError, TypeError, IndexError) as error:
            # A proxy's page, half a document, or something else that is no completion.
            what = self.clean(str(error))[:_LONGEST_MESSAGE]
            failure = Passing(f"what {self._way} sent is not of the chat completions API: {what}")
        raise failure from None

    @property
    def _way(self) -> str:
        return f"{self.host} through the proxy {self._proxy}" if self._proxy else self.host

    @property
    def _hint_at_proxy(self) -> str:
        """Said where a connection fails that may need a proxy."""
        if not self._unused:
            return ""
        return f" (the proxy {self._unused} of {self._unused.source} was not asked: see classify.proxy)"

    def _reply(self, told) -> Reply:
        choice = told.choices[0]
        return Reply(
            text=self.clean(choice.message.content or ""),
            finish=self.clean(choice.finish_reason or ""),
            refusal=self.clean(getattr(choice.message, "refusal", None) or "")
            or ("content filter" if choice.finish_reason == "content_filter" else ""),
            prompt_tokens=_count(told.usage, "prompt_tokens"),
            completion_tokens=_count(told.usage, "completion_tokens"),
        )

    def _refused(self, error) -> Exception:
        """What follows from a status: another attempt, or none."""
        status, body = error.status_code, error.body
        said = body.get("message") if isinstance(body, dict) else body
        said = self.clean(str(said or error.message))[:_LONGEST_MESSAGE]
        what = f"{self._way} says {status}: {said}"
        no_money = (
            status == 429 and isinstance(body, dict) and "insufficient_quota" in (body.get("code"), body.get("type"))
        )
        if (status in _AGAIN or status >= 500) and not no_money:
            after = _asked_to_wait(error.response.headers)
            return Passing(what, after=after, charged=status in _TIMED_OUT)
        hint = _HINTS.get(status) or (
            "see classify.structured, parameters, max_tokens" if status in (400, 422) else "see the server's own log"
        )
        return ServerError(f"{what} ({hint})" if not no_money else what)


def check(settings: Mapping, environment: Mapping[str, str]) -> None:
    """Say what is missing before anything can be asked.

    Raises
    ------
    ClusterfirstError
        There is no key, no model, or no address.
    """
    if not settings["model"]:
        raise ClusterfirstError("classify: which model is to be asked? Set classify.model, as the server calls it")
    address(settings, environment)
    proxy(settings, environment)
    key(settings, environment)


def key(settings: Mapping, environment: Mapping[str, str]) -> str:
    """Return the key, "" if none is needed; see `variable`."""
    name = variable(settings)
    value = environment.get(name, "").strip() if name else ""
    if name and not value:
        raise ClusterfirstError(
            f"classify: there is no key: set the environment variable {name} (classify.key_variable), or "
            "key_variable: null for a server of your own that needs none. Keys do not belong into configuration files"
        )
    return value


def variable(settings: Mapping) -> str | None:
    """Return the name of the environment variable that holds the key; None if no key is needed."""
    name = settings["key_variable"]
    if name == "auto":
        return "AZURE_OPENAI_API_KEY" if settings["azure_api_version"] else "OPENAI_API_KEY"
    return name


def address(settings: Mapping, environment: Mapping[str, str]) -> str:
    """Return where requests go."""
    azure = settings["azure_api_version"]
    found = settings["base_url"] or (environment.get("AZURE_OPENAI_ENDPOINT", "") if azure else OPENAI)
    if not found:
        raise ClusterfirstError(
            "classify: where is your Azure resource? Set classify.base_url, or the environment variable "
            "AZURE_OPENAI_ENDPOINT"
        )
    if not _ADDRESS.fullmatch(found) or not _has_usable_port(found):
        # Not shown: it may hold a password.
        raise ClusterfirstError(
            "classify: the address of the server is to be like https://host:port/v1, without name, password, or query"
        )
    return found.rstrip("/")


def _has_usable_port(address: str) -> bool:
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


def proxy(settings: Mapping, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that requests take: none, unless the settings name one, or let the environment do so."""
    wanted = settings["proxy"]
    if wanted == "environment":
        return proxies.checked(proxies.named(address(settings, environment), environment))
    return proxies.checked(Proxy(wanted, "classify.proxy")) if wanted else None


def receivers(settings: Mapping, environment: Mapping[str, str]) -> str:
    """Return who gets the pictures, in words: the host, and the proxy on the way to it."""
    to, through = host(address(settings, environment)), proxy(settings, environment)
    return f"{to} through the proxy {through} ({through.source}), which receives them, too" if through else to


def host(address: str) -> str:
    """Return the host of an address, with the port if one is said."""
    return _ADDRESS.fullmatch(address)["host"]


def _certificates(environment: Mapping[str, str]) -> ssl.SSLContext | bool:
    """Whom to believe: what the environment names, for hospitals have authorities of their own; else the usual ones."""
    file, folder = (environment.get(f"SSL_CERT_{name}") or None for name in ("FILE", "DIR"))
    if not file and not folder:
        return True
    try:
        return ssl.create_default_context(cafile=file, capath=None if file else folder)
    except OSError as error:
        name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR"
        raise ClusterfirstError(f"classify: {name} names {file or folder}, which cannot be read: {error}") from None


def _count(usage: object, name: str) -> int | None:
    """A number of tokens; None where a server says none, or nonsense: less than nothing would fill up the budget."""
    value = getattr(usage, name, None)
    return value if type(value) is int and value >= 0 else None


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a header that gives milliseconds, seconds, or a date."""
    try:
        if text := headers.get("retry-after-ms"):
            return max(0.0, float(text) / 1000)
        text = headers.get("retry-after")
        if text is None:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
            return float(text)
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
