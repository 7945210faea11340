"""What a page is made of, however its template is broken into lines."""

import re
from html import escape
from html.parser import HTMLParser


def compact(html: str) -> str:
    """The page with one space between attributes, and none between tags and texts."""
    parser = _Compact()
    parser.feed(html)
    parser.close()
    return parser.compacted()


class _Compact(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.text: list[str] = []  # since the last tag

    def compacted(self) -> str:
        self._end_text()
        return "".join(self.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_text()
        self.parts.append("<" + " ".join([tag, *(_attribute(name, value) for name, value in attrs)]) + ">")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self._end_text()
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_entityref(self, name: str) -> None:
        self.text.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.text.append(f"&#{name};")

    def _end_text(self) -> None:
        self.parts.append(_spaced("".join(self.text)))
        self.text.clear()


def _attribute(name: str, value: str | None) -> str:
    return name if value is None else f'{name}="{escape(_spaced(value))}"'


def _spaced(text: str) -> str:
    return re.sub(r"[ \n\r\t]+", " ", text).strip(" ")
