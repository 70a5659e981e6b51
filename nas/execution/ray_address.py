"""Whether a Ray cluster answers, asked before anything is started or written."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

from nas.errors import InputError
from nas.files import home_folder


def show_token() -> None:
    """Have Ray show this machine's token, if there is one, to the cluster that it joins.

    Ray does so by itself on a cluster that it starts here, but for no cluster named by host:port.
    """
    named = os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    home = home_folder()
    if named or (home is not None and (home / ".ray" / "auth_token").exists()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def check_address(address: str) -> None:
    """Raises InputError where no Ray cluster answers at `auto` or `host:port`; `local` is none to ask."""
    if address == "local":
        return
    if address != "auto" and not re.fullmatch(r"[^:/]+:[0-9]{1,5}", address):
        raise InputError(f"'{address}' is not a Ray address; write local, auto or host:port")
    if not (address == "auto" or _listens(address)) or not _healthy(address):
        raise InputError(
            f"no Ray cluster answers at address '{address}'; start one with `ray start --head`, or start "
            "Ray here with --address local"
        )


def _listens(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError):
        return False
    return True


def _healthy(address: str) -> bool:
    """Asks in a process of its own, for `ray.init` would try for minutes and print."""
    show_token()
    where = [] if address == "auto" else ["--address", address]
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "health-check", *where]
    try:
        check = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S)
    except subprocess.TimeoutExpired:
        return False
    if "AuthenticationError" in check.stderr:
        raise InputError(
            f"the Ray cluster at address '{address}' refuses this machine's token; copy ~/.ray/auth_token "
            "from its head node, or set RAY_AUTH_TOKEN"
        )
    return check.returncode == 0


_ANSWER_S = 10
