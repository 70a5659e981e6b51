"""A run as a server of the Model Context Protocol: requests are its tools, facts its resources."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from nas import __version__
from nas.errors import InputError, NasError
from nas.serving import answers
from nas.serving.open_run import OpenRun
from nas.serving.refusals import Refused

if TYPE_CHECKING:
    from mcp.server import MCPServer

_INSTRUCTIONS = """\
A search for the best network of a space within a budget, whose networks are trained by you.
Ask for a network, or propose one of your own; train it; tell its score. Read nas://space for the decisions
of a proposal, nas://budget and nas://limits for what may be proposed, nas://lineage for what came of what.
An answer with the key `refused` says why in `message`; `nearest` are then choices that would be taken."""


def make_server(run: OpenRun) -> MCPServer:
    """Return a server for a run that is open. Raises InputError where the package `mcp` is missing."""
    try:
        from mcp.server import MCPServer
    except ImportError:
        raise InputError("nas mcp: needs the package mcp; pip install 'nas[mcp]'") from None
    name = f"nas {run.folder.path.name}"
    server: MCPServer = MCPServer(name, instructions=_INSTRUCTIONS, version=__version__, log_level="ERROR")
    for request in answers.REQUESTS.values():
        server.tool()(_bind(run, request))
    for fact, kind in answers.FACTS.items():
        server.resource(f"nas://{fact.__name__}", mime_type=f"application/{kind}")(_bind(run, fact))
    return server


def _bind(run: OpenRun, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function without its first argument, which is the run; what is refused is returned too."""
    from mcp.server.mcpserver.exceptions import ResourceError

    @wraps(function)
    def answer(**arguments: Any) -> Any:
        try:
            return function(run, **arguments)
        except Refused as refused:
            return answers.answer_refusal(refused)
        except NasError as error:
            raise ResourceError(str(error)) from None  # which tools may raise too

    signature = inspect.signature(function, eval_str=True)
    own = signature.replace(parameters=[*signature.parameters.values()][1:])
    answer.__signature__ = own  # type: ignore[attr-defined]
    answer.__annotations__ = {name: one.annotation for name, one in own.parameters.items()}
    return answer
