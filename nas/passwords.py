"""Passwords in URLs: they are used, and stand nowhere else."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

HIDDEN = "***"
"""Stands for a password wherever a URL is shown or written."""

VARIABLE = "NAS_STORAGE_PASSWORD"
"""The environment variable with the password that `***` in the URL of a storage stands for."""


def hide_passwords(text: str) -> str:
    """Return a text with `***` in place of the passwords of the URLs in it."""
    return _hide(text, r"\s'\"")


class SecretUrl(str):
    """A URL whose text has `***` for its passwords, so that it can be shown, compared and written.

    `whole` is the URL as it was given.
    """

    whole: str

    def __new__(cls, url: str) -> SecretUrl:
        own = super().__new__(cls, _hide(url, ""))
        own.whole = url.whole if isinstance(url, SecretUrl) else url
        return own

    @property
    def to_open(self) -> str:
        """The URL with the password of the environment where it has `***`. Raises KeyError where there is
        none."""
        if HIDDEN not in self.whole:
            return self.whole
        return self.whole.replace(HIDDEN, quote(os.environ[VARIABLE], safe=""))


def _hide(url: str, ends: str) -> str:
    """Hide what stands between a user and `@`, and what a key of the query calls a secret. `ends`: characters
    that no URL has."""
    user = rf"[a-z][\w+.-]*:/{{1,2}}(?!/)[^{ends}/:]*:"  # after three slashes comes a path
    url = re.sub(rf"({user})[^{ends}@]*@(?:[^{ends}/?@]*@)*", rf"\g<1>{HIDDEN}@", url, flags=re.IGNORECASE)
    key = rf"[?&][^=&{ends}]*(?:pass|pwd|secret|token|odbc_connect)[^=&{ends}]*="
    return re.sub(rf"({key})[^&{ends}]+", rf"\g<1>{HIDDEN}", url, flags=re.IGNORECASE)
