"""The server of the Model Context Protocol, asked by the client of its official package."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from command_line import command, nas
from doors import LARGE, begin, check_kept

from nas import open_run
from nas.serving.mcp_server import make_server
from nas.serving.open_run import OpenRun

mcp = pytest.importorskip("mcp", reason="the server needs the extra `mcp`: pip install -e '.[mcp]'")


@pytest.fixture
def run(tmp_path: Path) -> OpenRun:
    return begin(tmp_path, trials=6)


def talk(server: Any, conversation: Callable[[Any], Awaitable[None]]) -> None:
    """Have a client talk to a server: one in this process, or the command that starts one."""

    async def connected() -> None:
        async with mcp.Client(server, read_timeout_seconds=60) as client:
            await conversation(client)

    asyncio.run(connected())


async def call(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool, which is no error."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    answer: dict[str, Any] = result.structured_content
    assert json.loads(result.content[0].text) == answer
    return answer


async def read(client: Any, name: str) -> str:
    (content,) = (await client.read_resource(f"nas://{name}")).contents
    text: str = content.text
    return text


async def search(client: Any) -> None:
    """Ask, propose, tell, and read what there is."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"ask", "propose", "tell", "best", "running"}
    assert (
        tools["propose"].input_schema["required"] == ["choices"] and "nearest" in tools["propose"].description
    )
    assert set(tools["tell"].input_schema["properties"]) == {"number", "score", "failed"}
    resources = {str(resource.uri) for resource in (await client.list_resources()).resources}
    assert resources == {"nas://space", "nas://budget", "nas://limits", "nas://lineage"}

    first = await call(client, "ask", network=True)
    assert first["number"] == 0 and first["macs"] <= 600_000 and first["network"].startswith("name: tiny")
    assert (await call(client, "tell", number=0, score=0.5))["state"] == "complete"
    refusal = await call(client, "propose", choices=LARGE, bred_from=0)
    assert refusal["refused"] == "over_budget"
    near = await call(client, "propose", choices=refusal["nearest"], bred_from=0)
    assert (near["number"], near["choices"]) == (1, refusal["nearest"])
    assert (await call(client, "propose", choices=refusal["nearest"]))["refused"] == "duplicate"
    assert (await call(client, "tell", number=0, score=0.9))["refused"] == "already_told"
    assert (await call(client, "running"))["trials"][0]["number"] == 1
    assert (await call(client, "tell", number=1, failed="out of memory"))["failed"] == "out of memory"
    assert [trial["number"] for trial in (await call(client, "best", k=3))["trials"]] == [0]
    wrong = await client.call_tool("tell", {"score": 0.5})
    assert wrong.is_error and "number" in wrong.content[0].text

    assert json.loads(await read(client, "budget")) == {"macs": {"least": 0, "most": 600_000}}
    limits = json.loads(await read(client, "limits"))
    assert {key: limits[key] for key in ("trials", "left", "complete", "failed", "running")} == {
        "trials": 6, "left": 4, "complete": 1, "failed": 1, "running": 0,
    }  # fmt: skip
    assert limits["networks"] == 252 and limits["space"]["macs"] == {"least": 27_728, "most": 1_075_360}
    lineage = json.loads(await read(client, "lineage"))["trials"]
    assert [(row["bred_from"], row["state"], row["score"]) for row in lineage] == [
        (None, "complete", 0.5),
        (0, "failed", None),
    ]
    assert "choice:" in await read(client, "space")


def test_a_client_searches(run: OpenRun) -> None:
    talk(make_server(run), search)
    check_kept(run)


def test_what_keeps_a_tool_from_its_work_is_said(run: OpenRun) -> None:
    async def ask(client: Any) -> None:
        result = await client.call_tool("ask", {})
        assert result.is_error and "wait for it, or stop it first" in result.content[0].text

    with patch("nas.serving.open_run.PATIENCE_S", 0.1), run.folder.locked():
        talk(make_server(run), ask)


@pytest.mark.slow
def test_a_client_starts_the_command(run: OpenRun) -> None:
    program, *arguments = command("mcp", str(run.folder.path))
    parameters = mcp.StdioServerParameters(command=program, args=arguments)
    talk(parameters, search)
    again = open_run(run.folder.path)
    assert again.counts.complete == 1 and again.folder.trials_file.is_file()
    check_kept(again)


def test_without_the_package_it_is_said_how_to_get_it(run: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    said = nas("mcp", str(run.folder.path))
    assert (said.code, said.err) == (2, "error: nas mcp: needs the package mcp; pip install 'nas[mcp]'\n")
