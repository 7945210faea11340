"""The HTTP contract, version 1, as an agent uses it. Retries live here and nowhere else."""

from __future__ import annotations

import base64
import contextlib
import json
import platform
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from clientagent import calls, strangers
from clientagent.calls import Call, Recognition
from clientagent.connection import Answer, Connection, NotTheServer, Piece, Request, Sink, explain
from clientagent.errors import Dropped, Failed, HeldElsewhere, Refused, TokenRefused
from clientagent.link import Link
from clientagent.polls import Polls
from federation.fl.version import __version__

FIRST_DELAY, LONGEST_DELAY = 0.25, 15.0  # seconds between attempts
GROWTH = 1.2  # of the delay, each time: a server that was away for t seconds is found again within about t/5
DISABLED_SECONDS = 30.0
LONGEST_RETRY_AFTER = 3600.0
LONGEST_STRANGERS = 60.0  # if a stranger on the way asks for it
LEAVE_SECONDS = 5.0

Body = Callable[[], Iterable[Piece]]


class Api:
    """Calls to one server by one thread; `another` gives a second thread its own.

    Every call without the server's answer (network, 5xx, 429, a stranger's answer) is made again, with growing
    pauses, until an answer arrives or `stop` is set, which raises Dropped.
    """

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
        self.server = server
        self.server_version = ""  # as the last answer to `enroll` or `work` told
        self.stop = stop or threading.Event()
        self._link = link
        self._connection = Connection(server)
        self._host = urlsplit(server).hostname or ""
        self._recognition = recognition or Recognition()
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
        return Api(self.server, self._token, self._link, stop, instance=self._instance, recognition=self._recognition)

    @contextlib.contextmanager
    def until(self, stop: threading.Event) -> Iterator[None]:
        """While this lasts, `stop` ends waiting and retrying by Dropped."""
        before, self.stop = self.stop, stop
        try:
            yield
        finally:
            self.stop = before

    def pause(self, seconds: float) -> None:
        """Wait, shortened at random so that many agents do not come back in step."""
        if self.stop.wait(seconds * random.uniform(0.5, 1.0)):
            raise Dropped("The work was dropped while the agent waited.")

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        """Stop whatever another thread does with this."""
        self.stop.set()
        self._connection.abort()

    # ---- the client itself

    def enroll(self, join_code: str, name: str, info: Mapping[str, Any]) -> dict[str, Any]:
        """Become a client under the own token. Raises Refused with the server's sentence."""
        body = {"join_code": join_code, "name": name, "info": info, "token": self._token}
        answer = self._persist(calls.ENROLL, _json_request("POST", "/api/v1/enroll", body, self._anonymous))
        if answer.status != 201:
            raise Refused(answer.sentences)
        self.server_version = answer.headers.get("fl-server-version", "")
        return answer.json()

    def work(self, wait: float) -> dict[str, Any] | None:
        """What to do now; None if nothing came up within `wait` seconds. Raises TokenRefused.

        A disabled client waits here until it is enabled again.
        """
        told = False
        while True:
            answer = self._poll(wait)
            if answer.status != 403:
                break
            if not told:
                self._link.note(f"{answer.detail} Asking again every {DISABLED_SECONDS:.0f} s.")
            told = True
            self.pause(DISABLED_SECONDS)
        if told:
            self._link.note("The server takes this client again.")
        _check_token(answer)
        self._introduce()
        self.server_version = answer.headers.get("fl-server-version", "")
        return answer.json() if answer.status == 200 else None

    def _poll(self, wait: float) -> Answer:
        def attempt() -> Answer:
            path = f"/api/v1/work?wait={self._polls.wait(wait):g}"
            return self._connection.exchange(Request("GET", path, self._headers))

        answer = self._persist(calls.WORK, attempt, settled=(200, 204, 401, 403), expected=self._polls.ended)
        self._polls.answered()
        return answer

    def tell(self, info: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Say what this machine and its data are now. Returns what changed; a server that cannot be told is not."""
        request = _json_request("POST", "/api/v1/clients/me/info", {"info": info}, self._headers)
        answer = self._persist(calls.INFO, request)
        _check_token(answer)
        if answer.status != 200:  # an older server, or this client is disabled, which the next call tells
            return []
        found = answer.json().get("changed")
        return [change for change in found if isinstance(change, dict)] if isinstance(found, list) else []

    def log(self, lines: Sequence[Mapping[str, str]]) -> None:
        """Send lines of this agent's log. Raises Failed where the server does not take them."""
        request = _json_request("POST", "/api/v1/clients/me/log", {"lines": lines}, self._headers)
        answer = self._persist(calls.LOG, request)
        _check_token(answer)
        if answer.status != 200:
            raise Failed(answer.detail)

    def leave(self) -> bool:
        """Say goodbye, once. False if the server could not be told."""
        try:
            connection = Connection(self.server, stall_seconds=LEAVE_SECONDS)
            answer = connection.exchange(_json_request("POST", "/api/v1/clients/me/leave", {}, self._headers))
            connection.close()
            self._recognition.check(calls.LEAVE, answer)
        except (OSError, HTTPException):
            return False
        return answer.status == 200

    # ---- a seat: 403, 404 and 410 mean that the server wants no more of it

    def progress(self, participation: str, phase: str, fraction: float, points: Sequence[Mapping[str, Any]]) -> bool:
        """Tell where this work is. False: drop it. Raises Failed where the server does not take the points."""
        body = {"phase": phase, "fraction": round(fraction, 4), "metrics": points}
        request = _json_request("POST", f"/api/v1/participations/{participation}/progress", body, self._headers)
        several = len(points) > 1
        answer = _seat(self._persist(calls.PROGRESS, request, foreign=(strangers.TOO_LARGE,) if several else ()))
        if answer.status == strangers.TOO_LARGE and several:
            half = len(points) // 2
            parts = (points[:half], points[half:])
            return all(self.progress(participation, phase, fraction, part) for part in parts)
        if answer.status != 200:
            raise Failed(answer.detail)
        return answer.json().get("continue") is not False

    def fail(self, participation: str, reason: str) -> None:
        """Give the seat up. That it is no longer ours to give up changes nothing."""
        body = {"reason": reason[:500]}
        request = _json_request("POST", f"/api/v1/participations/{participation}/fail", body, self._headers)
        _check_token(self._persist(calls.FAIL, request))

    def download(self, url: str, sink: Sink, num_bytes: int, part_bytes: int, *, doubted: bool = False) -> None:
        """Fetch a file in parts into `sink`, from where the sink is; a cut part goes on where it was cut.

        doubted: what came the last time did not fit its digest, so that the server is to look at its file.
        """
        fresh = {"Cache-Control": "no-cache"} if doubted else {}

        def attempt() -> Answer:
            end = min(sink.offset + part_bytes, num_bytes) - 1
            part = {"Accept": "application/octet-stream", "Range": f"bytes={sink.offset}-{end}"}
            headers = self._headers | part | fresh
            return self._connection.exchange(Request("GET", self._path(url), headers), sink)

        while sink.offset < num_bytes:
            answer = self._persist(calls.MODEL, attempt, moved=lambda: sink.offset)
            _check_token(answer)
            if answer.status == 416:
                sink.restart()
                self.pause(LONGEST_DELAY)  # what is stored here does not fit what is stored there
            elif answer.status not in (200, 206):
                raise Failed(f"The base model cannot be downloaded: {answer.detail}")

    def put(self, url: str, body: Body, num_bytes: int, digest: str) -> Answer:
        """The whole update in one request: 204, 409, 413 or 422, or a stranger's refusal of PUT or its size."""
        headers = self._headers | {
            "Content-Type": "application/octet-stream",
            "Content-Digest": _digest_field(digest),
        }
        request = Request("PUT", self._path(url), headers, body, num_bytes)
        answer = _seat(self._persist(calls.PUT, request, foreign=(*strangers.NO_METHOD, strangers.TOO_LARGE)))
        if answer.status == 204:
            self._link.up(calls.PATCH.name)  # it may have been refused on the way; that no longer matters
        return answer

    def offset(self, url: str) -> Answer:
        """How much of an upload the server has."""
        return _seat(self._persist(calls.HEAD, self._asking_for_offset(url)))

    def _asking_for_offset(self, url: str) -> Request:
        return Request("HEAD", self._path(url), self._headers | {"Tus-Resumable": "1.0.0"})

    def create(self, url: str, length: int) -> Answer:
        """Begin an upload anew: 201."""
        headers = self._headers | {"Tus-Resumable": "1.0.0", "Upload-Length": str(length)}
        return _seat(self._persist(calls.CREATE, Request("POST", self._path(url), headers)))

    def patch(
        self,
        url: str,
        take: Callable[[bool], int],
        body: Body,
        offset: int,
        length: int,
        digest: str,
        foreign: tuple[int, ...] = (),
    ) -> Answer:
        """A part of an upload, with the digest of the whole: 204, 409, 413, 422, 423 or 460, or one of `foreign`.

        take: says for each attempt how many bytes are sent; it is told whether the connection ended while the last
        ones were on their way.
        The server is asked first then where it stands: 200, with its offset, if that is another.
        """
        cut = False
        headers = self._headers | {
            "Tus-Resumable": "1.0.0",
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Upload-Length": str(length),
            "Repr-Digest": _digest_field(digest),
        }

        def chunks() -> Iterable[Piece]:
            nonlocal cut
            if cut:  # a new connection is tried, as for one that was idle for too long; here it means a cut
                raise ConnectionAbortedError
            cut = True  # until an answer comes
            return body()

        def attempt() -> Answer:
            nonlocal cut
            if cut:
                stands = self._connection.exchange(self._asking_for_offset(url))
                self._recognition.check(calls.HEAD, stands)
                if stands.status == 200 and stands.headers["upload-offset"] != str(offset):
                    take(True)
                    return stands
            num_bytes = take(cut)
            cut = False
            answer = self._connection.exchange(Request("PATCH", self._path(url), headers, chunks, num_bytes))
            cut = False
            return answer

        return _seat(self._persist(calls.PATCH, attempt, foreign=foreign))

    def patch_is_blocked(self, answer: Answer) -> None:
        """Report a stranger's answer that `patch` returned, when there is no other way either."""
        self._report_failure(calls.PATCH, NotTheServer(f"it answers {answer.status}", answer))

    # ---- until an answer comes

    def _introduce(self, take_over: bool = False) -> None:
        """Say from now on which agent this is. Taking over is asked for once, until the server lets us in."""
        if self._instance is not None:
            self._headers["FL-Agent-Instance"] = json.dumps({**self._instance, "take_over": take_over})

    @property
    def _anonymous(self) -> dict[str, str]:
        return {name: value for name, value in self._headers.items() if name != "Authorization"}

    def _persist(
        self,
        call: Call,
        attempt: Request | Callable[[], Answer],
        *,
        settled: tuple[int, ...] = (),
        foreign: tuple[int, ...] = (),
        moved: Callable[[], int] = lambda: 0,
        expected: Callable[[float], bool] = lambda seconds: False,
    ) -> Answer:
        """Try until there is an answer.

        settled: the only statuses that are one; without it, all that do not mean "later".
        foreign: statuses that also count from a stranger: the caller has another way.
        moved: what tells that a failed attempt got somewhere all the same: the pauses begin anew.
        expected: whether a failure after so many seconds needs no report.
        """
        delay, mark = FIRST_DELAY, moved()
        try:
            while True:
                if moved() != mark:
                    delay, mark = FIRST_DELAY, moved()
                asked = 0.0
                try:
                    answer = self._connection.exchange(attempt) if isinstance(attempt, Request) else attempt()
                    self._recognition.check(call, answer)
                    if answer.status == 409 and "fl-agent-held" in answer.headers:
                        raise HeldElsewhere(answer.detail)
                    if answer.status in settled or (not settled and not _later(answer.status)):
                        self._link.up(call.name)
                        return answer
                    self._link.down(f"it answers {answer.status}: {answer.detail}")
                    asked = min(answer.retry_after, LONGEST_RETRY_AFTER)
                except (OSError, HTTPException) as error:
                    if self.stop.is_set():  # it was aborted
                        raise Dropped("The work was dropped.") from error
                    if isinstance(error, NotTheServer) and error.answer and error.answer.status in foreign:
                        return replace(error.answer, ours=False)
                    if expected(self._connection.waited):
                        delay = FIRST_DELAY
                    else:
                        asked = self._report_failure(call, error)
                self.pause(max(delay, 2 * asked))  # a pause lasts at least half of it
                delay = min(GROWTH * delay, LONGEST_DELAY)
        except BaseException:
            self._link.forget(call.name)
            raise

    def _report_failure(self, call: Call, error: OSError | HTTPException) -> float:
        """Report why the server's answer is missing. Returns the least time to wait."""
        answer = error.answer if isinstance(error, NotTheServer) else None
        if answer is None:
            self._link.down(explain(error))
            return 0.0
        reason = f"no federated learning server is at {self.server}: {error}" if call is calls.ENROLL else str(error)
        self._link.stranger(call.name, reason, strangers.words(answer, call.name, self._host))
        if call is calls.PATCH and answer.status in strangers.NO_METHOD:
            self._link.once("PATCH", strangers.NO_PATCH)
        return min(answer.retry_after, LONGEST_STRANGERS)

    def _path(self, url: str) -> str:
        """The path of an address that the server gave. The token goes to no other server."""
        if url.startswith(f"{self.server}/"):
            url = url.removeprefix(self.server)
        if not url.startswith("/") or url.startswith("//") or urlsplit(url).netloc:
            raise Failed(f"The server names an address that is not its own: {url[:200]!r}.")
        return url


def _digest_field(digest: str) -> str:
    """A hexadecimal SHA-256 as RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"


def _json_request(method: str, path: str, value: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
    body = json.dumps(value, allow_nan=False).encode()
    return Request(method, path, {**headers, "Content-Type": "application/json"}, lambda: (body,), len(body))


def _later(status: int) -> bool:
    """Statuses of a server that is away or busy."""
    return status >= 500 or status in (408, 425, 429)


def _check_token(answer: Answer) -> None:
    if answer.status == 401:
        raise TokenRefused(
            f"The server does not know this client's token any more: {answer.detail} "
            "To join again, start with a new code and another --state folder."
        )


def _seat(answer: Answer) -> Answer:
    _check_token(answer)
    if answer.status in (403, 404, 410):
        raise Dropped(answer.detail)
    return answer
