"""Proxies that the environment names, for the two kinds of requests: those that fetch, and those that send pictures."""

from __future__ import annotations

import ipaddress
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .io import ClusterfirstError

_URL = re.compile(r"(?:https?|socks5h?)://(?:[^/?#\s]*@)?[^/@?#\s]+/?", re.IGNORECASE)


@dataclass(frozen=True)
class Proxy:
    """A proxy. As text it is its address without name and password, which belong into no log.

    Attributes
    ----------
    url : str
        All of it.
    source : str
        The variable or setting that names it.
    """

    url: str = field(repr=False)
    source: str

    def __str__(self) -> str:
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].rstrip('/')}"

    @property
    def secrets(self) -> set[str]:
        """What is to be taken out of messages: the password as it is written, and as it is sent."""
        user, _, _ = self.url.partition("://")[2].rpartition("@")
        password = user.partition(":")[2]
        return {password, unquote(password)} - {""}


def named(address: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that the environment names for an address; None if there is none, or no_proxy excepts the host.

    Variables count in small letters first, as with curl; one that is set and empty names none.
    """
    scheme = urlsplit(address).scheme
    for wanted in (f"{scheme}_proxy", "all_proxy"):
        name = next((name for name in (wanted, wanted.upper()) if name in environment), None)
        if name is None or not (value := environment[name].strip()):
            continue
        return None if is_excepted(address, environment) else Proxy(_with_scheme(value), name)
    return None


def of_downloads(address: str) -> Proxy | None:
    """Return the proxy that `urllib.request` takes for an address by itself: that of the environment, or the system."""
    parts = urlsplit(address)
    found = urllib.request.getproxies().get(parts.scheme)
    if not found or (parts.netloc and urllib.request.proxy_bypass(parts.netloc)):
        return None
    return Proxy(_with_scheme(found), f"{parts.scheme}_proxy")


def checked(proxy: Proxy | None) -> Proxy | None:
    """Return a proxy that is about to be used.

    Raises
    ------
    ClusterfirstError
        It has no address that could be one.
    """
    if proxy and not _URL.fullmatch(proxy.url):
        # Not shown: it may hold a password.
        raise ClusterfirstError(f"{proxy.source}: the address of a proxy is to be like http://host:port")
    return proxy


def _with_scheme(address: str) -> str:
    return address if "://" in address else f"http://{address}"


def is_excepted(address: str, environment: Mapping[str, str]) -> bool:
    """Whether no_proxy excepts the host of an address, by its name, a domain, an address, a network, or all (``*``)."""
    entries = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    parts = urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return any(_excepts(entry.strip().lower(), parts.hostname or "", port) for entry in entries.split(","))


def _excepts(entry: str, host: str, port: int | None) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    if "/" in entry and "://" not in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    if one_port := re.fullmatch(r"((?:\w+://)?(?:\[[^\]]*\]|[^:]*)):(\d+)", entry):
        entry = one_port[1]
        if int(one_port[2]) != port:
            return False
    entry = entry.rpartition("://")[2].strip("[]").removeprefix("*").removeprefix(".")
    return host == entry or host.endswith(f".{entry}")
