"""The inbox of held commands on a terminal.

What a key decides is the review that is shown, with the digest that it was shown with: never whatever has come to stand in its place. So the
choice stays where it is when others come or go, and a review that has ended stays until the reviewer moves on.
"""

import asyncio
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from countersign.cli.review_text import reach_lines, review_lines
from countersign.client import Client, ClientError
from countersign.reviews.preview import one_line, terminal_safe

AGAIN_S = 5.0
"""How often the list is fetched anew, whatever was heard meanwhile."""
SETTLE_S = 0.15
"""A review is fetched when the choice has rested on it for so long: each look is on record."""
REASON_LIMIT = 4000
COLUMNS = ("review", "state", "asked by", "target", "effects", "command")


class Question(ModalScreen[str | None]):
    """Asks for a reason, and whether to go on. Answers the reason, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "cancel")]

    def __init__(self, lines: list[str], *, needs_reason: bool) -> None:
        super().__init__()
        self._lines = lines
        self._needs_reason = needs_reason

    def compose(self) -> ComposeResult:
        """The question, and where to write."""
        with Vertical(id="question"):
            yield Static(_joined(self._lines), markup=False)
            yield Input(placeholder="why" if self._needs_reason else "why (may be empty)", max_length=REASON_LIMIT)
            yield Static("Enter goes on, Escape cancels.", id="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on, if there is a reason or none is needed."""
        reason = event.value.strip()
        if self._needs_reason and not reason:
            self.query_one("#hint", Static).update("A denial needs a reason: the agent reads it.")
            return
        self.dismiss(reason)

    def action_leave(self) -> None:
        """Decide nothing."""
        self.dismiss(None)


class Inbox(App[None]):
    """Lists what is held, shows one in full, and takes decisions on what it shows."""

    CSS = """
    #list { height: 35%; border-bottom: solid $primary; }
    #detail { height: 1fr; padding: 0 1; }
    #told { height: 1; background: $boost; padding: 0 1; }
    Question { align: center middle; }
    #question { width: 80%; height: auto; max-height: 80%; border: thick $primary; background: $surface; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "approve", "approve"),
        Binding("d", "deny", "deny"),
        Binding("r", "dry_run", "dry run"),
        Binding("pagedown,space", "scroll_detail(1)", "read on"),
        Binding("pageup", "scroll_detail(-1)", "back", show=False),
        Binding("q", "quit", "quit"),
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "held commands"

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        # Kept, not looked up: what the gateway answers may come while the screen is being taken down.
        self._table: DataTable[Text] = DataTable(id="list", cursor_type="row", zebra_stripes=True)
        self._detail = VerticalScroll(id="detail", can_focus=False)
        self._text = Static("nothing is held", id="text", markup=False)
        self._told = Static("", id="told", markup=False)
        self._listed: dict[str, dict[str, Any]] = {}
        """By id, in the order of the list: what is pending, and the chosen one."""
        self._chosen = ""
        self._shown: dict[str, Any] | None = None
        """The review that stands in full on the screen. Only this one is decided."""
        self._reach: list[str] = []

    def compose(self) -> ComposeResult:
        """The list, the chosen review, one line for what happened, and the keys."""
        yield self._table
        with self._detail:
            yield self._text
        yield self._told
        yield Footer()

    def on_mount(self) -> None:
        """Begin to listen."""
        table = self._table
        for name in COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self.hear()
        self.refresh_list()
        self.set_interval(AGAIN_S, self.refresh_list)

    # -- what is held
    @work(group="hear")
    async def hear(self) -> None:
        """Every move, as it happens; where the gateway has gone, again and again."""
        while True:
            try:
                async for review in self._client.events():
                    self._moved(review)
            except Exception as error:  # whatever breaks the stream, the list is fetched anew
                self._tell(f"the gateway does not answer: {type(error).__name__}")
            await asyncio.sleep(1.0)
            self.refresh_list()

    @work(group="list", exclusive=True)
    async def refresh_list(self) -> None:
        """Everything that is pending now."""
        try:
            found = (await self._client.get("reviews", state="pending"))["reviews"]
        except ClientError as error:
            self._tell(str(error))
            return
        pending = {review["id"]: review for review in reversed(found)}
        for review_id in [known for known in self._listed if known not in pending and known != self._chosen]:
            self._drop(review_id)
        for review in pending.values():
            self._put(review)
        if self._chosen in self._listed and self._chosen not in pending and self._listed[self._chosen]["state"] == "pending":
            self.look(self._chosen)  # it ended while nobody told us

    def _moved(self, review: dict[str, Any]) -> None:
        if review["state"] == "pending" or review["id"] == self._chosen:
            self._put(review)
        else:
            self._drop(review["id"])
        if review["id"] == self._chosen:
            self.look(review["id"])

    def _put(self, review: dict[str, Any]) -> None:
        table = self._table
        cells = _cells(review)
        if review["id"] in self._listed:
            for name, cell in zip(COLUMNS, cells, strict=True):
                table.update_cell(review["id"], name, cell)
        else:
            table.add_row(*cells, key=review["id"])
        self._listed[review["id"]] = review

    def _drop(self, review_id: str) -> None:
        if self._listed.pop(review_id, None) is None:
            return
        table = self._table
        table.remove_row(review_id)
        if self._chosen in self._listed:  # rows have moved up below the cursor
            table.move_cursor(row=table.get_row_index(self._chosen))

    # -- the chosen one
    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Another was chosen, or the list moved below the cursor."""
        table = event.data_table
        if not table.is_valid_row_index(table.cursor_row):
            return
        review_id = str(table.ordered_rows[table.cursor_row].key.value)
        if review_id == self._chosen:
            return
        left, self._chosen = self._chosen, review_id
        self._shown, self._reach = None, []
        self._text.update("…")
        if left in self._listed and self._listed[left]["state"] != "pending":
            self._drop(left)
        self.look(review_id)

    @work(group="look", exclusive=True)
    async def look(self, review_id: str) -> None:
        """Show a review in full, and then what its command would touch."""
        await asyncio.sleep(SETTLE_S)
        try:
            found = await self._client.get(f"reviews/{review_id}")
        except ClientError as error:
            self._tell(str(error))
            return
        self._show(found)
        if found["state"] == "pending" and not self._reach:
            try:
                reach = await self._client.get(f"reviews/{review_id}/estimate")
            except ClientError as error:
                reach = {"problem": str(error)}
            self._reach = reach_lines(reach)
            self._show(found)

    def _show(self, review: dict[str, Any]) -> None:
        if review["id"] != self._chosen:
            return
        is_new = self._shown is None
        self._shown = review
        self._listed[review["id"]] = review if review["id"] not in self._listed else self._listed[review["id"]] | review
        self._text.update(_joined(review_lines(review, self._reach)))
        if is_new:
            self._detail.scroll_home(animate=False)

    def action_scroll_detail(self, pages: int) -> None:
        """Read on, or back."""
        detail = self._detail
        (detail.scroll_page_down if pages > 0 else detail.scroll_page_up)(animate=False)

    # -- decisions
    def action_approve(self) -> None:
        """Approve exactly what is shown, once its end is on the screen: where that is, is known once all is laid out."""
        shown = self._shown
        self.call_after_refresh(lambda: self._approve(shown))

    def _approve(self, shown: dict[str, Any] | None) -> None:
        detail = self._detail
        if shown is None or self._shown is None or shown["id"] != self._shown["id"]:
            self._tell("nothing is shown that could be decided")
        elif detail.scroll_y < detail.max_scroll_y:
            self._tell("there is more of it below: read it to its end first (space)")
        else:
            self._ask("approve", "Approve exactly this command?", needs_reason=False)

    def action_deny(self) -> None:
        """Deny it with a reason."""
        self._ask("deny", "Deny this command?", needs_reason=True)

    def _ask(self, kind: str, question: str, *, needs_reason: bool) -> None:
        shown = self._shown
        if shown is None:
            self._tell("nothing is shown that could be decided")
            return
        if kind not in shown["may"]:
            self._tell(f"{shown['id']} is not yours to {kind}, or not any more")
            return
        command = one_line(shown["command"]["text"], 200)
        who = terminal_safe(f"{shown['id']}: {shown['identity']} on {shown['target']}").replace("\n", "\\n")
        warnings = [terminal_safe(f"WARNING the command {one}").replace("\n", "\\n") for one in shown["spoofing"]]

        def answered(reason: str | None) -> None:
            if reason is not None:
                self.decide(kind, shown["id"], shown["digest"], reason)

        self.push_screen(Question([question, who, command, *warnings], needs_reason=needs_reason), answered)

    @work(group="decide")
    async def decide(self, kind: str, review_id: str, digest: str, reason: str) -> None:
        """Decide the review that was shown, by the digest that was shown."""
        try:
            decided = await self._client.post(f"reviews/{review_id}/{kind}", {"digest": digest, "reason": reason})
        except ClientError as error:
            self._tell(str(error))
        else:
            self._tell(f"{decided['id']} is {decided['state']}")
        self.look(review_id) if review_id == self._chosen else self.refresh_list()

    def action_dry_run(self) -> None:
        """Count what it would change."""
        if self._shown is None or self._shown["state"] != "pending":
            self._tell("nothing is shown that could be run")
            return
        self._tell("running it, to be rolled back …")
        self.dry_run(self._shown["id"], self._shown["digest"])

    @work(group="dry_run")
    async def dry_run(self, review_id: str, digest: str) -> None:
        """Show what a run that is rolled back has counted."""
        try:
            reach = await self._client.post(f"reviews/{review_id}/dry-run", {"digest": digest})
        except ClientError as error:
            self._tell(str(error))
            return
        self._tell("")
        if review_id == self._chosen and self._shown is not None:
            self._reach = reach_lines(reach)
            self._show(self._shown)

    def _tell(self, text: str) -> None:
        self._told.update(Text(one_line(text, 500)))


def _joined(lines: list[str]) -> Text:
    return Text("\n".join(lines))


def _cells(review: dict[str, Any]) -> list[Text]:
    command = review["command"]
    texts = (review["id"], review["state"], review["identity"], review["target"], ",".join(command["effects"]), command["text"])
    return [Text(one_line(text, 100)) for text in texts]
