import pytest

from flsite import files

resource = pytest.importorskip("resource")


@pytest.fixture
def before():
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield found
    resource.setrlimit(resource.RLIMIT_NOFILE, found)


def test_a_process_gets_all_that_its_user_may_have(before):
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    assert files.allow_most() == before[1]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])


def test_what_the_system_refuses_leaves_the_limit_as_it_was(before, monkeypatch):
    def refused(kind, limits):
        raise ValueError("current limit exceeds maximum limit")

    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refused)
        assert files.allow_most() == 512


def test_a_system_without_such_a_limit_is_left_alone(monkeypatch):
    monkeypatch.setattr(files, "resource", None)
    assert files.allow_most() == 0
