import threading

from clientagent import logtail
from clientagent.errors import Failed


class Terminal:
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def close(self):
        self.closed = True


class Server:
    """An Api that notes what it is sent; the first call is refused."""

    def __init__(self):
        self.stop = threading.Event()
        self.got = []
        self.arrived = threading.Event()

    def log(self, lines):
        self.got.append([line["text"] for line in lines])
        if len(self.got) == 1:
            raise Failed("not now")
        self.arrived.set()

    def abort(self):
        self.stop.set()

    def close(self):
        pass


def test_lines_go_to_the_terminal_and_to_the_server_and_a_refusal_stops_nothing(monkeypatch):
    monkeypatch.setattr(logtail, "EVERY_SECONDS", 0.01)
    terminal, server = Terminal(), Server()
    tail = logtail.LogTail(terminal)
    tail.say("one\n\ntwo")
    tail.start(server)
    while not server.got:
        server.stop.wait(0.01)
    tail.say("x" * 600)
    assert server.arrived.wait(10)
    tail.close()
    assert terminal.said[0] == "one\n\ntwo" and terminal.closed
    assert server.got[:2] == [["one", "two"], ["x" * 500]]


def test_only_the_newest_lines_wait():
    tail = logtail.LogTail(Terminal())
    for n in range(500):
        tail.say(str(n))
    assert [line["text"] for line in tail._lines] == [str(n) for n in range(300, 500)]
