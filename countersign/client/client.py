"""Calls the REST API."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx


class ClientError(Exception):
    """The gateway's no, in its own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Client:
    """Methods by the API's resources; each raises ``ClientError``. JSON in, JSON out (the shapes are in ``api.shapes``)."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **parameters: Any) -> Any:
        """GET under /api/v1."""
        return await self._call("GET", path, params={k: v for k, v in parameters.items() if v not in (None, "")})

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST under /api/v1."""
        return await self._call("POST", path, json=body or {})

    async def delete(self, path: str) -> Any:
        """DELETE under /api/v1."""
        return await self._call("DELETE", path)

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Every move of a review, as it happens."""
        async with self._http.stream("GET", "/api/v1/events", timeout=None) as response:
            name = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: ") and name == "review":
                    yield json.loads(line.removeprefix("data: "))

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._http.request(method, f"/api/v1/{path}", **options)
        except httpx.HTTPError as error:
            raise ClientError(0, "unreachable", f"the gateway does not answer: {error}") from error
        if response.is_success:
            return response.json()
        try:
            problem = response.json()["error"]
            raise ClientError(response.status_code, problem["code"], problem["message"])
        except (ValueError, KeyError) as error:
            raise ClientError(response.status_code, "error", f"HTTP {response.status_code}") from error
