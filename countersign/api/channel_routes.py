"""The routes about channels."""

from collections import Counter
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from countersign.api.access import Administrator, Overseer, Working
from countersign.api.shapes import delivery_json, letter_json

router = APIRouter()


class RetryBody(BaseModel):
    """Which dead letter, by its record's number; all of the channel's where none is named."""

    record: int | None = Field(default=None, ge=1)


@router.get("/api/v1/channels")
async def channels(services: Working, _: Overseer) -> dict[str, Any]:
    """Who is told of reviews, and how far each is behind."""
    dead = Counter(letter.channel for letter in await services.channels.dead())
    found = [delivery_json(one) for one in await services.deliveries() if one.name.startswith("notify:")]
    return {"channels": [one | {"dead_letters": dead[one["name"]]} for one in found]}


@router.get("/api/v1/channels/dead-letters")
async def dead_letters(services: Working, _: Overseer) -> dict[str, Any]:
    """What channels did not take, oldest first."""
    return {"dead_letters": [letter_json(letter) for letter in await services.channels.dead()]}


@router.post("/api/v1/channels/{name}/retry")
async def retry_channel(name: str, body: RetryBody, services: Working, _: Administrator) -> dict[str, Any]:
    """Tell a channel its dead letters again, or one of them."""
    if not services.online:
        raise HTTPException(409, "the gateway is not running")
    taken, left = await services.channels.retry(name, body.record)
    return {"taken": taken, "left": [letter_json(letter) for letter in left]}
