import pytest

from flsite import files

resource = pytest.importorskip("resource")


class Limits:
    """What the system says and takes, in place of this process's own limits."""

    def __init__(self, monkeypatch, soft, hard, *, refuses=False):
        self.now = soft, hard
        self.refuses = refuses
        monkeypatch.setattr(resource, "getrlimit", lambda kind: self.now)
        monkeypatch.setattr(resource, "setrlimit", self.set)

    def set(self, kind, limits):
        if self.refuses:
            raise ValueError("current limit exceeds maximum limit")
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [
        (1024, 1_048_576, 20_000),
        (1024, 4096, 4096),
        (1024, resource.RLIM_INFINITY, 20_000),
        (50_000, 1_048_576, 50_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_a_low_limit_is_raised_as_far_as_enough_and_as_allowed(monkeypatch, soft, hard, allowed):
    limits = Limits(monkeypatch, soft, hard)
    assert files.allow_enough() == allowed
    assert limits.now == (allowed, hard)


def test_what_the_system_refuses_leaves_the_limit_as_it_was(monkeypatch):
    limits = Limits(monkeypatch, 512, resource.RLIM_INFINITY, refuses=True)
    assert files.allow_enough() == 512
    assert limits.now == (512, resource.RLIM_INFINITY)


def test_a_system_without_such_a_limit_is_left_alone(monkeypatch):
    monkeypatch.setattr(files, "resource", None)
    assert files.allow_enough() == 0
