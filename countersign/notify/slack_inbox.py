"""What people do with the buttons and dialogs of our messages in Slack.

An interaction counts only from the message that is on record as the review's, by a member of the workspace whose e-mail address Slack has
verified and the settings name. The decision is bound to the digest that the message was made with, and goes the way of all others.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from countersign.audit.contract import AuditUnavailable
from countersign.audit.sinks import SinkError
from countersign.model import DecisionKind, Identity, IdentityKind, Review
from countersign.notify.contract import NoticeStore
from countersign.notify.slack import Slack
from countersign.notify.slack_messages import APPROVE, DENIAL, DENY, REASON, denial_dialog, escaped, may_approve
from countersign.reviews.errors import ReviewError
from countersign.reviews.service import ReviewService

log = structlog.get_logger(__name__)

METHOD = "slack"
FAILED = "it failed inside the gateway: look at the review in the console"
LOOK_UP_S = 2.0
"""Slack shows an error where it has no answer within three seconds."""
Refused = Callable[[str, str, str], Awaitable[None]]
"""Puts on record who was refused (as Slack names them), a code, and why in words."""
IsAgent = Callable[[str], Awaitable[bool]]
Answer = dict[str, Any] | None
"""What Slack is answered; None is nothing."""


class NotKnown(Exception):
    """Nobody who may decide; the text is for them, ``code`` for the record."""

    def __init__(self, text: str, code: str = "no_account") -> None:
        super().__init__(text)
        self.code = code


class SlackInbox:
    """Takes the interactions of one Slack channel."""

    def __init__(self, slack: Slack, reviews: ReviewService, store: NoticeStore, refused: Refused, is_agent: IsAgent) -> None:
        self._slack = slack
        self._reviews = reviews
        self._store = store
        self._refused = refused
        self._is_agent = is_agent
        self._workspace = slack.kind.workspace
        self._people = {person.email: person for person in slack.kind.people}

    async def take(self, payload: dict[str, Any]) -> Answer:
        """An interaction that is known to be Slack's. Never raises: whatever goes wrong decides nothing, and says so."""
        try:
            match payload.get("type"):
                case "block_actions":
                    await self._pressed(payload)
                case "view_submission":
                    return await self._submitted(payload)
        except Exception as error:  # what Slack sends may be anything
            log.error("slack_interaction_failed", channel=self._slack.name, error=type(error).__name__)
            if payload.get("type") == "view_submission":
                return _not_submitted(FAILED)
        return None

    async def _pressed(self, payload: dict[str, Any]) -> None:
        container = payload["container"]
        for action in payload["actions"]:
            kind = action.get("action_id")
            if kind not in (APPROVE, DENY):
                continue
            review_id, _, digest = str(action.get("value", "")).partition(" ")
            stands = f"{container.get('channel_id')} {container.get('message_ts')}"
            try:
                problem = await self._decided(kind, payload, review_id, digest, stands)
            except Exception as error:  # whatever it is, the person is told, and nothing is decided
                log.error("slack_interaction_failed", channel=self._slack.name, error=type(error).__name__)
                problem = FAILED
            if problem:
                await self._say(payload, problem)

    async def _decided(self, kind: str, payload: dict[str, Any], review_id: str, digest: str, stands: str) -> str:
        """Do what a button asks; why not, for the person, or nothing."""
        try:
            review = await self._review(review_id, stands)
            person = await self._person(payload)
            if kind == DENY:
                await self._ask_why(payload, review, digest, stands)
                return ""
            if problems := may_approve(review, shows_command=self._slack.shows_command):
                return f"approve it in the console, not here: {'; '.join(problems)}"
            await self._reviews.decide(review.id, person, DecisionKind.APPROVE, digest, "")
        except (NotKnown, ReviewError, SinkError, AuditUnavailable) as error:
            return await self._problem(error, payload)
        return ""

    async def _submitted(self, payload: dict[str, Any]) -> Answer:
        view = payload["view"]
        if view.get("callback_id") != DENIAL:
            return None
        review_id, digest, stands = str(view.get("private_metadata", "")).split("\n")
        reason = str(view["state"]["values"][REASON][REASON].get("value") or "")
        try:
            review = await self._review(review_id, stands)
            person = await self._person(payload)
            await self._reviews.decide(review.id, person, DecisionKind.DENY, digest, reason)
        except (NotKnown, ReviewError, SinkError, AuditUnavailable) as error:
            return _not_submitted(await self._problem(error, payload))
        return None

    async def _problem(self, error: Exception, payload: dict[str, Any]) -> str:
        """What the person is told. Who is not known, and so might be anybody, is on record."""
        if isinstance(error, NotKnown):
            await self._refused(str(payload.get("user", {}).get("id", "")), error.code, str(error))
        if isinstance(error, AuditUnavailable):
            return f"nothing was done: {error.trouble.public}"
        return str(error)

    async def _review(self, review_id: str, stands: str) -> Review:
        """The review, if this is the message on record for it: only that one is sure to show it as it is."""
        if not review_id.startswith("rv-") or await self._store.handle(self._slack.name, review_id) != stands:
            raise ReviewError("this message is not the one on record for its review: decide in the console")
        return await self._reviews.get(review_id)

    async def _ask_why(self, payload: dict[str, Any], review: Review, digest: str, stands: str) -> None:
        private = f"{review.id}\n{digest}\n{stands}"
        view = denial_dialog(review, private, shows_command=self._slack.shows_command)
        await self._slack.api.call("views.open", {"trigger_id": payload["trigger_id"], "view": view})

    async def _say(self, payload: dict[str, Any], problem: str) -> None:
        """To this person only. That it could not be said changes nothing."""
        user, channel = payload["user"]["id"], payload["container"]["channel_id"]
        try:
            await self._slack.api.call("chat.postEphemeral", {"channel": channel, "user": user, "text": escaped(problem)})
        except SinkError as error:
            log.warning("slack_answer_failed", channel=self._slack.name, error=str(error))

    # -- who it is
    async def _person(self, payload: dict[str, Any]) -> Identity:
        """The person behind an interaction, asked of Slack anew each time, for people leave. Raises ``NotKnown`` and ``SinkError``."""
        user_id = str(payload["user"]["id"])
        user: dict[str, Any] = (await self._slack.api.ask("users.info", {"user": user_id}, LOOK_UP_S)).get("user") or {}
        if user.get("id") != user_id:
            raise NotKnown("Slack does not say who you are")
        if any(user.get(flag) for flag in ("deleted", "is_bot", "is_app_user", "is_workflow_bot", "is_connector_bot")):
            raise NotKnown("only people decide reviews")
        guest = user.get("is_stranger") or user.get("is_restricted") or user.get("is_ultra_restricted")
        if guest or user.get("team_id") != await self._own_workspace():
            raise NotKnown("only members of the gateway's own workspace decide reviews here")
        if user.get("is_email_confirmed") is not True:
            raise NotKnown("Slack has not verified your e-mail address")
        person = self._people.get(str((user.get("profile") or {}).get("email") or "").lower())
        if person is None:
            raise NotKnown("the gateway does not know your e-mail address")
        if await self._is_agent(person.name):
            raise NotKnown("only people decide reviews")
        return Identity(person.name, IdentityKind.USER, person.groups, authentication=METHOD)

    async def _own_workspace(self) -> str:
        if not self._workspace:
            self._workspace = str((await self._slack.api.ask("auth.test", {}, LOOK_UP_S)).get("team_id") or "")
            if not self._workspace:
                raise NotKnown("Slack does not say whose workspace this is")
        return self._workspace


def _not_submitted(problem: str) -> dict[str, Any]:
    """What keeps a dialog open (docs.slack.dev/surfaces/modals, "Displaying errors in views")."""
    return {"response_action": "errors", "errors": {REASON: problem}}
