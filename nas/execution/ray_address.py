"""Whether a Ray cluster answers, asked before anything is started or written."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time

from nas.errors import InputError, NasError
from nas.files import find_home


def show_token() -> None:
    """Have Ray show this machine's token, if there is one, to the cluster that it joins.

    Ray does so by itself on a cluster that it starts here, but for no cluster named by host:port.
    """
    if _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


_made: list[bool] = []
"""Not empty where the token in the environment is one that no person knows."""


def make_token() -> None:
    """Give a cluster that starts here a token of its own where Ray could not write one to the home."""
    if _has_token():
        return
    try:
        home = find_home()
        if home is None:
            raise FileNotFoundError
        (home / ".ray").mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=home / ".ray").close()
    except OSError:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _made.append(True)


def describe_login() -> str | None:
    """Return where the token is that the dashboard of Ray asks for, in one line; None where it asks for none.

    The token itself is in no line. Ray has no link that logs in.
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return None
    start = "If it asks for a token:"
    if os.environ.get("RAY_AUTH_TOKEN"):
        if _made:
            return (
                f"{start} one of this search alone, as ~/.ray cannot be written; set RAY_AUTH_TOKEN to yours."
            )
        return f"{start} the one in RAY_AUTH_TOKEN."
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return f"{start} the one in {path}."
    return f"{start} `ray get-auth-token` prints it, from ~/.ray/auth_token."


def _has_token() -> bool:
    """Return whether the environment names a token, or the home has one that can be read."""
    if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        return True
    home = find_home()
    try:
        return home is not None and bool((home / ".ray" / "auth_token").read_text().strip())
    except (OSError, UnicodeDecodeError):
        return False


def find_short_folder() -> str | None:
    """Return a folder for Ray's sockets where the temporary one has too long a name for them, else None.

    Raises NasError where there is none.
    """
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(folder)) + len(_SOCKET) <= _MOST_BYTES:
        return None
    if os.access("/tmp", os.W_OK):  # noqa: S108  # Ray makes its own folder in it
        return "/tmp/ray"  # noqa: S108
    raise NasError(
        f"{folder}: Ray's sockets in it would have names of over {_MOST_BYTES} bytes, which no system "
        "allows; name a folder of a shorter path by RAY_TMPDIR"
    )


_MOST_BYTES = 107
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_0000000/pymp-00000000/listener-00000000"
"""The longest, of its dashboard."""


def check_address(address: str, *, joins: bool = True) -> None:
    """Raise InputError where no Ray cluster answers at `auto` or `host:port`, and where it is of another Ray
    or Python than this process, which `joins` it; `local` is none to ask."""
    if address == "local":
        return
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"'{address}' is the address of a dashboard, which takes whole searches: add --submit; or write "
            "local, auto or host:port"
        )
    if address != "auto" and not re.fullmatch(r"[^:/]+:[0-9]{1,5}", address):
        raise InputError(f"'{address}' is not a Ray address; write local, auto or host:port")
    if not (address == "auto" or _is_listening(address)) or not _is_healthy(address, joins):
        raise InputError(
            f"no Ray cluster answers at address '{address}'; start one with `ray start --head`, or start "
            "Ray here with --address local"
        )


def describe_mismatch(address: str, said: str) -> str | None:
    """Return what is told where Ray said that a cluster is of another Python or another Ray, else None."""
    if "Version mismatch" not in said:
        return None
    versions = re.findall(r"(Ray|Python): (\S+)", said)
    cluster, own = (" and ".join(" ".join(one) for one in found) for found in (versions[:2], versions[2:]))
    return (
        f"the Ray cluster at address '{address}' runs {cluster}, and this machine {own}; install the same on "
        "both"
    )


def _is_listening(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError):
        return False
    return True


def _is_healthy(address: str, joins: bool) -> bool:
    """Ask in a process of its own, for `ray.init` would try for minutes and print."""
    show_token()
    command = [sys.executable, "-P", "-c", _HEALTH_CHECK, address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as check:
        assert check.stdout is not None
        began = time.monotonic()
        check.stdout.readline()  # the import of Ray, which takes its time on a busy machine
        patience_s = max(_ANSWER_S, _IMPORTS * (time.monotonic() - began))
        try:
            _, said = check.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            check.kill()
            return False
    if "AuthenticationError" in said or "find an authentication token" in said:  # Ray aborts without one
        raise refuse_token(address)
    mismatch = describe_mismatch(address, said)
    if mismatch and joins:
        raise InputError(mismatch)
    return check.returncode == 0 or mismatch is not None


def refuse_token(address: str) -> InputError:
    """Return what is told where a cluster asks for another token than this machine has."""
    return InputError(
        f"the Ray cluster at address '{address}' refuses this machine's token; copy ~/.ray/auth_token "
        "from its head node, or set RAY_AUTH_TOKEN"
    )


_HEALTH_CHECK = """
import sys
import ray
from ray._common.usage.usage_lib import get_cluster_metadata
from ray._private import services, utils

print(flush=True)
gcs = ray._raylet.GcsClient(address=services.canonicalize_bootstrap_address_or_die(sys.argv[1]))
utils.check_version_info(get_cluster_metadata(gcs), "this machine")
"""
"""As `ray health-check` does, which tells another Ray and not another Python, and takes twice the time."""
_ANSWER_S = 5.0
_IMPORTS = 2
"""An answer may take so many times what the import of Ray does: a machine may be busy."""
