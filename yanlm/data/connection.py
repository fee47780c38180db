"""Whether the network can be reached, found out within seconds.

Left alone, the libraries of Hugging Face retry for half a minute before they give up; checking the network first takes
milliseconds.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

PROBE_SECONDS = 3.0
"""The longest that a check of the network takes."""


def hub_address() -> str:
    """The hub's address: ``HF_ENDPOINT``, or the public one."""
    return os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"


def reachable(address: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether an address answers, asked through the proxy if the environment names one, within so many seconds.

    Example:
        >>> reachable("http://127.0.0.1:9")
        False
    """
    return _in_time(lambda: _connects(address, seconds), seconds)


def serving(endpoint: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether the hub itself answers a request: more than :func:`reachable`, where a connection is enough.

    Example:
        >>> serving("http://127.0.0.1:9")
        False
    """
    return _in_time(lambda: _serves(endpoint, seconds), seconds)


def _in_time(ask: Callable[[], bool], seconds: float) -> bool:
    """Whether the answer is yes and comes in time; in a thread, because looking up a name has no time limit."""
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers == [True]


def _connects(address: str, seconds: float) -> bool:
    url = urllib.parse.urlsplit(address if "://" in address else f"https://{address}")
    host = url.hostname or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    try:
        if not proxy or urllib.request.proxy_bypass(host):
            socket.create_connection((host, url.port or (80 if url.scheme == "http" else 443)), seconds).close()
            return True
        if proxy.startswith("socks"):  # the libraries speak it but urllib does not: only check that something answers
            there = urllib.parse.urlsplit(proxy)
            socket.create_connection((there.hostname or "", there.port or 1080), seconds).close()
            return True
        handler = urllib.request.ProxyHandler({url.scheme: proxy})
        request = urllib.request.Request(url.geturl(), method="HEAD")
        urllib.request.build_opener(handler).open(request, timeout=seconds).close()
        return True
    except urllib.error.HTTPError as error:
        return error.code not in (407, 502, 503, 504)  # an answer of the proxy itself
    except urllib.error.URLError as error:
        return "CERTIFICATE_VERIFY_FAILED" in str(error)  # something answers; certificates are left to the library
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _serves(endpoint: str, seconds: float) -> bool:
    from huggingface_hub import get_session

    try:
        status = get_session().head(endpoint, timeout=seconds).status_code
    except Exception:  # whatever goes wrong, it cannot be reached
        return False
    return status not in (403, 407) and status < 500  # else a proxy answered in its place
