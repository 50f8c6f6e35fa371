"""Reads HTML strictly, as a validator would: what is open is closed, and no id is there twice."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}
_RAW = {"rect", "circle", "polyline"}


class Checked(HTMLParser):
    """One document: its elements, its ids and what is wrong with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.told: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"{one} is not closed" for one in self.open]
        self.wrong += [
            f"id {one} is there twice" for one in set(self.ids) if self.ids.count(one) > 1
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._look(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _RAW:
            self.wrong.append(f"{tag} closes itself")
        self._look(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"/{tag} closes {self.open[-1:]}")
            return
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "script" in self.open and data.strip():
            self.wrong.append("a script stands in the page")
        self.told.append(data)

    def _look(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.wrong.append(f"{tag} has {name}")
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "action"):
                self.links.append(value or "")

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.told).split())
