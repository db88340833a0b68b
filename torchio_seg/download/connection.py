"""Requests over https: never over anything else, wherever a server redirects to."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO
from urllib.parse import urlsplit

from torchio_seg.errors import DataError

TRY_AGAIN = {408, 425, 429}
"""Answers below 500 that may be different a moment later."""


class TransferError(Exception):
    """The connection or the server failed in a way that may pass."""


def require_https(url: str) -> None:
    """Raise where a transfer could be read or changed on its way."""
    if urlsplit(url).scheme != "https":
        raise DataError(f"{url} is not https; files are fetched over https only")


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to other https addresses and nowhere else."""

    def redirect_request(  # noqa: PLR0917 (urllib's signature)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            raise DataError(f"{req.full_url} redirects to {newurl}; files are fetched over https only")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def answer(
    url: str, headers: dict[str, str], context: ssl.SSLContext | None, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    """The server's answer to a request; TransferError where asking again may help."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the opener below knows https alone)
    try:
        response = _opener(context).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500 or error.code in TRY_AGAIN:
            raise TransferError(f"the server answers {error.code} {error.reason}") from error
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DataError(
                f"{url}: the server's certificate is not trusted ({error.reason.verify_message})"
            ) from error
        raise TransferError(f"{request.host} cannot be reached ({_why(error.reason)})") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransferError(f"{request.host} does not answer ({_why(error)})") from error
    with response:
        yield response


def read(response: http.client.HTTPResponse, most: int) -> bytes:
    """The next bytes, none at the end."""
    try:
        return response.read(most)
    except (OSError, http.client.HTTPException) as error:
        raise TransferError(f"the connection was lost ({_why(error)})") from error


def _why(error: object) -> str:
    """The reason without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _opener(context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        _HttpsRedirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
