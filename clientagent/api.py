"""The HTTP contract, version 1, as an agent uses it: one method a call, or its request where the caller drives it."""

from __future__ import annotations

import base64
import json
import platform
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from clientagent import calls
from clientagent.calls import Recognition
from clientagent.errors import Dropped, Failed, Refused, TokenRefused
from clientagent.exchange import NO_METHOD, TOO_LARGE, Answer, Piece, Request
from clientagent.link import Link
from clientagent.persisting import Persisting
from clientagent.polls import Polls
from federation.fl.version import __version__

DISABLED_SECONDS = 30.0
LEAVE_SECONDS = 5.0
TIMES_SINCE = CATALOGUES_SINCE = [0, 2]  # the version whose servers take `timings` and `sent_at`, and `catalogue`


class Api(Persisting):
    """A client's calls to its server by one thread; `another` gives a second thread its own."""

    def __init__(
        self,
        server: str,
        token: str,
        link: Link,
        stop: threading.Event | None = None,
        *,
        instance: Mapping[str, Any] | None = None,
        take_over: bool = False,
        recognition: Recognition | None = None,
    ) -> None:
        super().__init__(server, link, stop, recognition)
        self.server_version = ""  # of the last answer to `enroll`, `tell` or `work`
        self._polls = Polls(link.note)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "User-Agent": f"fl-agent/{__version__} Python/{platform.python_version()}",
            "Accept": "application/json",
        }
        self._token = token
        self._instance = instance
        self._introduce(take_over)

    def another(self, stop: threading.Event) -> Api:
        api = Api(self.server, self._token, self.link, stop, instance=self._instance, recognition=self.recognition)
        api.server_version = self.server_version
        return api

    def _introduce(self, take_over: bool = False) -> None:
        """Say from now on which agent this is. Taking over is asked for once, until the server lets us in."""
        if self._instance is not None:
            self._headers["FL-Agent-Instance"] = json.dumps({**self._instance, "take_over": take_over})

    # ---- the client itself

    def enroll(self, join_code: str, name: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Become a client under the own token. Raises Refused with the server's sentence."""
        body = {"join_code": join_code, "name": name, "info": info, "token": self._token}
        anonymous = {name: value for name, value in self._headers.items() if name != "Authorization"}
        answer = self.ask(calls.ENROLL, _json_request("/api/v1/enroll", body, anonymous))
        if answer.status != 201:
            raise Refused(answer.sentences)
        self._note_version(answer)
        return answer.json()

    def work(self, wait: float) -> dict[str, Any] | None:
        """What to do now; None if nothing came up within `wait` seconds. Raises TokenRefused.

        A disabled client waits here until it is enabled again.
        """
        told = False
        while (answer := self._poll(wait)).status == 403:
            if not told:
                self.link.note(f"{answer.detail} Asking again every {DISABLED_SECONDS:.0f} s.")
            told = True
            self.pause(DISABLED_SECONDS)
        if told:
            self.link.note("The server accepts this client again.")
        check_token(answer)
        self._introduce()
        self._note_version(answer)
        return answer.json() if answer.status == 200 else None

    def _poll(self, wait: float) -> Answer:
        with self.attempts(calls.WORK, settled=(200, 204, 401, 403)) as attempts:
            while (answer := attempts.once(self._request_for_work(wait))) is None:
                ended = attempts.ended_after
                if ended is not None and self._polls.ended(ended):
                    attempts.wait_quietly()
                else:
                    attempts.wait()
        self._polls.answered()
        return answer

    def _request_for_work(self, wait: float) -> Request:
        return Request("GET", f"/api/v1/work?wait={self._polls.wait(wait):g}", self._headers)

    def _note_version(self, answer: Answer) -> None:
        self.server_version = answer.headers.get(calls.VERSION, "")

    def tell(self, info: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Report what this machine and its data are now. Returns what changed since the last report.

        Raises Failed with the server's sentence if it does not accept a value.
        """
        answer = self.ask(calls.INFO, _json_request("/api/v1/clients/me/info", {"info": info}, self._headers))
        check_token(answer)
        self.server_version = answer.headers.get(calls.VERSION, self.server_version)  # older ones do not say it here
        if answer.status in (413, 422):
            raise Failed(answer.sentences)
        if answer.status != 200:  # an older server, or the client is disabled, which the next call reports
            return []
        found = answer.json().get("changed")
        return [change for change in found if isinstance(change, dict)] if isinstance(found, list) else []

    def log(self, lines: Sequence[Mapping[str, str]]) -> None:
        """Send lines of this agent's log. Raises Failed if the server does not accept them."""
        answer = self.ask(calls.LOG, _json_request("/api/v1/clients/me/log", {"lines": lines}, self._headers))
        check_token(answer)
        if answer.status != 200:
            raise Failed(answer.detail)

    def leave(self) -> bool:
        """Say goodbye, once. False if the server did not answer."""
        request = _json_request("/api/v1/clients/me/leave", {}, self._headers)
        answer = self.ask_once(calls.LEAVE, request, LEAVE_SECONDS)
        return answer is not None and answer.status == 200

    def is_since(self, version: list[int]) -> bool:
        """Whether the server is of this version or a newer one, as far as its answers said."""
        numbers = self.server_version.split(".")[:2]
        return all(number.isdecimal() for number in numbers) and [int(number) for number in numbers] >= version

    # ---- a seat

    def progress(
        self,
        participation: str,
        phase: str,
        fraction: float,
        points: Sequence[Mapping[str, Any]],
        timings: Mapping[str, float] | None = None,
    ) -> bool:
        """Report how far this work is. False: drop it. Raises Failed if the server does not accept the points.

        timings: in the last call before the upload, seconds by phase. An older server does not get them.
        """
        body: dict[str, Any] = {"phase": phase, "fraction": round(fraction, 4), "metrics": points}
        if self.is_since(TIMES_SINCE):  # an older one answers 422
            body["sent_at"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            body |= {"timings": timings} if timings else {}
        request = _json_request(f"/api/v1/participations/{participation}/progress", body, self._headers)
        several = len(points) > 1
        answer = of_seat(self.ask(calls.PROGRESS, request, foreign=(TOO_LARGE,) if several else ()))
        if answer.status == TOO_LARGE and several:
            half = len(points) // 2
            parts = (points[:half], points[half:])
            return all(self.progress(participation, phase, fraction, part, timings) for part in parts)
        if answer.status != 200:
            raise Failed(answer.detail)
        return answer.json().get("continue") is not False

    def result(self, participation: str, body: bytes) -> None:
        """Send the numbers of an evaluation, as JSON. The same bytes may be sent again.

        Raises Dropped if the server has others or no longer needs any, Failed with its sentence if they are invalid.
        """
        request = _json_body(f"/api/v1/participations/{participation}/result", body, self._headers)
        answer = of_seat(self.ask(calls.RESULT, request))
        if answer.status != 204:
            raise (Dropped if answer.status == 409 else Failed)(answer.sentences)

    def fail(self, participation: str, reason: str) -> None:
        """Give the seat up. It does not matter if it is no longer ours."""
        body = {"reason": reason[:500]}
        request = _json_request(f"/api/v1/participations/{participation}/fail", body, self._headers)
        check_token(self.ask(calls.FAIL, request))

    def part_of_model(self, url: str, start: int, stop: int, *, doubted: bool) -> Request:
        """For calls.MODEL: bytes `start` to `stop` of a file.

        doubted: what came the last time did not fit its digest, so that the server is to look at its file.
        """
        part = {"Accept": "application/octet-stream", "Range": f"bytes={start}-{stop - 1}"}
        fresh = {"Cache-Control": "no-cache"} if doubted else {}
        return Request("GET", self._path(url), self._headers | part | fresh)

    # ---- a seat's update

    def put(self, url: str, body: Iterable[Piece], num_bytes: int, digest: str) -> Answer:
        """The whole update in one request: 204, 409, 413 or 422, or a stranger's refusal of PUT or its size."""
        headers = self._headers | {
            "Content-Type": "application/octet-stream",
            "Content-Digest": _digest_field(digest),
        }
        request = Request("PUT", self._path(url), headers, body, num_bytes)
        answer = of_seat(self.ask(calls.PUT, request, foreign=(*NO_METHOD, TOO_LARGE)))
        if answer.status == 204:
            self.link.up(calls.PATCH.name)  # it may have been refused on the way; that no longer matters
        return answer

    def offset(self, url: str) -> Answer:
        """How much of an upload the server has."""
        return of_seat(self.ask(calls.HEAD, self.question_for_offset(url)))

    def question_for_offset(self, url: str) -> Request:
        """For calls.HEAD, or for calls.PATCH after a part that was cut."""
        return Request("HEAD", self._path(url), self._headers | {"Tus-Resumable": "1.0.0"})

    def create(self, url: str, length: int) -> Answer:
        """Begin an upload again: 201."""
        headers = self._headers | {"Tus-Resumable": "1.0.0", "Upload-Length": str(length)}
        return of_seat(self.ask(calls.CREATE, Request("POST", self._path(url), headers)))

    def part_of_update(
        self, url: str, body: Iterable[Piece], num_bytes: int, *, offset: int, length: int, digest: str
    ) -> Request:
        """For calls.PATCH: a part of an upload, with the digest of the whole: 204, 409, 413, 422, 423 or 460."""
        headers = self._headers | {
            "Tus-Resumable": "1.0.0",
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Upload-Length": str(length),
            "Repr-Digest": _digest_field(digest),
        }
        return Request("PATCH", self._path(url), headers, body, num_bytes, only_once=True)

    def _path(self, url: str) -> str:
        """The path of an address that the server gave. The token goes to no other server."""
        if url.startswith(f"{self.server}/"):
            url = url.removeprefix(self.server)
        if not url.startswith("/") or url.startswith("//") or urlsplit(url).netloc:
            raise Failed(f"The server names an address that is not its own: {url[:200]!r}.")
        return url


def check_token(answer: Answer) -> None:
    """Raises TokenRefused if that is the answer."""
    if answer.status == 401:
        raise TokenRefused(
            f"The server no longer accepts this client's token: {answer.detail} To join again, ask the server's "
            "operators for a new code (*New token* on the client's page) and use another --state folder."
        )


def of_seat(answer: Answer) -> Answer:
    """The answer to a call about a seat. Raises Dropped for 403, 404 and 410: the server wants no more of it."""
    check_token(answer)
    if answer.status in (403, 404, 410):
        raise Dropped(answer.detail)
    return answer


def _digest_field(digest: str) -> str:
    """A hexadecimal SHA-256 as RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"


def _json_request(path: str, value: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
    """Halves of surrogate pairs, as in the name of a file that is not in UTF-8, become `?`: no server reads them."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return _json_body(path, text.encode(errors="replace"), headers)


def _json_body(path: str, body: bytes, headers: Mapping[str, str]) -> Request:
    return Request("POST", path, {**headers, "Content-Type": "application/json"}, (body,), len(body))
