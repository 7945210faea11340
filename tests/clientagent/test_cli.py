"""Flags and their environment variables: each wrong value is refused with what is allowed."""

import os
import unicodedata
from pathlib import Path

import pytest

from clientagent import cli, flags
from clientagent.errors import Misconfigured
from clientagent.identity import identify, open_state
from clientagent.settings import Settings
from clientagent.state import Identity, State, default_folder
from federation.fl.version import __version__

WRONG = [
    ("server", "FL_SERVER_URL", "example.org:8000", "use http://HOST:PORT or https://HOST"),
    ("server", "FL_SERVER_URL", "ftp://example.org", "use http://HOST:PORT or https://HOST"),
    ("server", "FL_SERVER_URL", "http://example.org/fl", "without a path"),
    ("server", "FL_SERVER_URL", "http://example.org:many", "could not be cast to integer"),
    ("join", "FL_JOIN_CODE", "x" * 65, "use 1 to 64 printable characters"),
    ("name", "FL_CLIENT_NAME", "../etc", "beginning with a letter or digit"),
    ("name", "FL_CLIENT_NAME", "a/b", "use letters, digits, spaces and . _ @ + -"),
    ("state", "FL_CLIENT_STATE", __file__, "this is a file"),
    ("data", "FL_CLIENT_DATA", "/no/such/folder", "use an existing folder"),
    ("data", "FL_CLIENT_DATA", __file__, "this is a file"),
    ("model-cache", "FL_CLIENT_MODEL_CACHE", __file__, "this is a file"),
    ("samples", "FL_CLIENT_SAMPLES", "0", "use a whole number from 1 to 1000000000000"),
    ("samples", "FL_CLIENT_SAMPLES", "1.5", "use a whole number"),
    ("partition-seed", "FL_CLIENT_PARTITION_SEED", "-1", "use a whole number from 0 to 2147483647"),
    ("device", "FL_CLIENT_DEVICE", "gpu", "use one of auto, cpu, cuda, mps"),
    ("threads", "FL_CLIENT_THREADS", "0", "use a whole number from 1 to 256"),
    ("threads", "FL_CLIENT_THREADS", "many", "use a whole number from 1 to 256"),
    ("clients", "FL_CLIENT_CLIENTS", "0", "use a whole number from 1 to 10000"),
    ("workers", "FL_CLIENT_WORKERS", "0", "use a whole number from 1 to 256"),
    ("connections", "FL_CLIENT_CONNECTIONS", "-1", "use a whole number from 1 to 10000"),
    ("flower-app", "FL_CLIENT_FLOWER_APP", "client_app", "use MODULE:NAME, such as client_app:app, or the folder of a"),
    (
        "flower-initial",
        "FL_CLIENT_FLOWER_INITIAL",
        "no-such-file",
        "use MODULE:NAME, such as task:Net, or a safetensors",
    ),
    ("flower-measures", "FL_CLIENT_FLOWER_MEASURES", "auc,,f1", "use names of 1 to 64 printable characters"),
    ("flower-node-config", "FL_CLIENT_FLOWER_NODE_CONFIG", "partition-id", "use NAME=VALUE, several with spaces"),
    (
        "flower-node-config",
        "FL_CLIENT_FLOWER_NODE_CONFIG",
        "site=north",
        "site must be a number, true, false or a text",
    ),
    (
        "flower-node-config",
        "FL_CLIENT_FLOWER_NODE_CONFIG",
        "a=[1]",
        "a must be a number, true, false or a text in quotes",
    ),
]
WRONG_TOGETHER = [
    (("--partition", "iid"), "--partition and --shard go together"),
    (("--shard", "2/4"), "--partition and --shard go together"),
    (
        ("--partition", "fair", "--shard", "2/4"),
        '--partition: \'fair\' is not a partition: use "iid", or "dirichlet:0.5"',
    ),
    (("--partition", "iid", "--shard", "5/4"), "--shard: '5/4' is not a shard: write"),
    (("--workload", "cats"), "--workload: There is no workload 'cats': choose one of"),
    (("--clients", "8", "--partition", "iid", "--shard", "2/4"), "gives each client its own shard of the data"),
    (("--clients", "8", "--send-log"), "--send-log is for a single client"),
    (("--clients", "8", "--partition", "fair"), 'use "iid", or "dirichlet:0.5"'),
    (("--clients", "8", "--workload", "cats"), "--workload: There is no workload 'cats': choose one of"),
    (("--clients", "8"), "Which server? Give --server"),
    (("--clients", "8", "--", "python", "train.py"), "A program of your own is one client: leave --clients out"),
    (("--workers", "2"), "--workers goes with --clients"),
    (("--connections", "2"), "--connections goes with --clients"),
    (("--flower-initial", "task:Net"), "--flower-initial goes with --flower-app"),
    (("--flower-node-config", "partition-id=0"), "--flower-node-config goes with --flower-app"),
    (("--flower-app", "a:app", "--clients", "8"), "A Flower app is one client: leave --clients out"),
    (("--nvflare-name", "hello"), "--nvflare-name goes with --nvflare-script"),
    (("--nvflare-anew",), "--nvflare-anew goes with --nvflare-script"),
    (("--nvflare-script", "train.py", "--clients", "8"), "An NVFlare script is one client: leave --clients out"),
    (("--nvflare-script", "train.py", "--flower-app", "a:app"), "--flower-app and --nvflare-script exclude each other"),
    (("--nvflare-script", "no-such-file.py", "--", "--epochs", "2"), "there is no file"),
    (("--flower-app", "a:app", "--", "python", "train.py"), "--flower-app and a program after -- exclude each other"),
]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    for flag in flags.FLAGS:
        monkeypatch.delenv(flag.env, raising=False)
    for name in (*cli.THREAD_VARIABLES, "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "1")  # what main() sets is put back
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    mask = os.umask(0)
    os.umask(mask)
    yield
    os.umask(mask)


def refused(capsys, *arguments: str) -> str:
    assert cli.main(arguments) == 2
    return str(capsys.readouterr().err)


@pytest.mark.parametrize(("flag", "env", "value", "sentence"), WRONG)
def test_a_wrong_flag_is_refused_with_what_is_allowed(capsys, flag, env, value, sentence):
    said = refused(capsys, f"--{flag}={value}")
    assert f"--{flag} " in said and sentence in said


@pytest.mark.parametrize(("flag", "env", "value", "sentence"), WRONG)
def test_so_is_a_wrong_environment_variable(capsys, monkeypatch, flag, env, value, sentence):
    monkeypatch.setenv(env, value)
    said = refused(capsys)
    assert f"{env} " in said and sentence in said


@pytest.mark.parametrize(("env", "value"), [("FL_CLIENT_ONCE", "yes"), ("FL_CLIENT_SHARE_HISTOGRAM", "no")])
def test_a_switch_is_0_or_1(capsys, monkeypatch, env, value):
    monkeypatch.setenv(env, value)
    assert f"{env} '{value}': use 0 or 1." in refused(capsys)


@pytest.mark.parametrize(("arguments", "sentence"), WRONG_TOGETHER)
def test_what_does_not_go_together_is_refused(capsys, arguments, sentence):
    assert sentence in refused(capsys, *arguments)


@pytest.mark.parametrize("unknown", ["--jion=x", "--serv=http://a", "extra"])
def test_an_unknown_flag_is_refused(capsys, unknown):
    with pytest.raises(SystemExit) as ended:
        cli.main([unknown])
    assert ended.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_a_program_of_ones_own_may_have_a_flag_workers(monkeypatch):
    monkeypatch.setenv("FL_CLIENT_CLIENTS", "8")
    settings = flags.read_among(["--workers=4", "--name", "a", "--layers", "3"], os.environ)
    assert (settings.name, settings.clients, settings.workers) == ("a", None, None)


def test_a_first_start_needs_server_and_code(capsys):
    assert "Which server? Give --server (or FL_SERVER_URL)" in refused(capsys, "--name=a")
    assert "Give --join (or FL_JOIN_CODE)" in refused(capsys, "--name=a", "--server=http://127.0.0.1:1")


@pytest.mark.parametrize("machine", ["", "-", "a/b"])
def test_a_machine_without_a_name_that_can_be_one_is_asked_for_it(capsys, monkeypatch, tmp_path, machine):
    monkeypatch.setattr("platform.node", lambda: machine)
    assert "Which name? Give --name (or FL_CLIENT_NAME)." in refused(capsys, "--server=http://127.0.0.1:1", "--join=x")
    assert list(tmp_path.iterdir()) == []


def test_without_anything_nothing_is_told():
    assert flags.read([], {}) == Settings()


def test_a_flag_wins_over_its_environment_variable():
    environment = {"FL_CLIENT_THREADS": "3", "FL_CLIENT_NAME": "from-env", "FL_JOIN_CODE": ""}
    settings = flags.read(["--threads=2"], environment)
    assert (settings.threads, settings.name, settings.join_code) == (2, "from-env", None)


def test_a_variable_may_be_in_a_file(tmp_path):
    (tmp_path / "code").write_text("JOIN-ME\n")
    environment = {"FL_JOIN_CODE_FILE": str(tmp_path / "code")}
    assert flags.read([], environment).join_code == "JOIN-ME"
    assert flags.read(["--join=other"], environment).join_code == "other"


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        (None, {}, "FL_JOIN_CODE_FILE: the file .*code cannot be read: No such file"),
        (b"\xff", {}, "FL_JOIN_CODE_FILE: the file .*code cannot be read: it is no text"),
        (b" \n", {}, "FL_JOIN_CODE_FILE: the file .*code is empty"),
        (b"a", {"FL_JOIN_CODE": "b"}, "FL_JOIN_CODE and FL_JOIN_CODE_FILE are both set"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path, content, more, said):
    if content is not None:
        (tmp_path / "code").write_bytes(content)
    with pytest.raises(Misconfigured, match=said):
        flags.read([], {"FL_JOIN_CODE_FILE": str(tmp_path / "code")} | more)


def test_a_value_of_a_file_that_is_not_allowed_is_refused_with_the_files_variable(tmp_path):
    (tmp_path / "threads").write_text("many")
    with pytest.raises(Misconfigured, match="FL_CLIENT_THREADS_FILE 'many': use a whole number"):
        flags.read([], {"FL_CLIENT_THREADS_FILE": str(tmp_path / "threads")})


def test_every_flag_has_its_place_in_the_settings(tmp_path):
    arguments = (
        f"--server https://fl.example/ --join CODE --name a.b --state {tmp_path}/s --data {tmp_path} "
        f"--model-cache {tmp_path}/m --samples 9 --partition dirichlet:0.5 --shard 2/4 --partition-seed 1 --device cpu "
        "--threads 2 --workload synthetic --share-histogram --insecure --once"
    ).split()
    assert flags.read(arguments, {}) == Settings(
        server="https://fl.example",
        join_code="CODE",
        name="a.b",
        state=tmp_path / "s",
        data=tmp_path,
        model_cache=tmp_path / "m",
        samples=9,
        partition="dirichlet:0.5",
        shard="2/4",
        partition_seed=1,
        device="cpu",
        threads=2,
        workload="synthetic",
        share_histogram=True,
        insecure=True,
        once=True,
    )


def test_nothing_is_shared_unless_the_site_says_so(capsys):
    assert not flags.read([], {}).share_histogram
    assert flags.read([], {"FL_CLIENT_SHARE_HISTOGRAM": "1"}).share_histogram
    assert flags.read(["--no-share-histogram"], {"FL_CLIENT_SHARE_HISTOGRAM": "0"}) == Settings()
    assert "--no-share-histogram has no effect: nothing is shared without --share-histogram" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--no-share-histogram", "--share-histogram"], {}),
        (["--no-share-histogram"], {"FL_CLIENT_SHARE_HISTOGRAM": "1"}),
    ],
)
def test_a_site_that_says_both_shares_nothing(arguments, environment):
    with pytest.raises(Misconfigured, match="contradict each other"):
        flags.read(arguments, environment)


@pytest.mark.parametrize(
    "server",
    ["http://fl.example", "http://10.0.0.1:8000", "http://127.0.0.1.example", "http://[2001:db8::1]", "http://0.0.0.0"],
)
def test_plain_http_beyond_this_machine_needs_a_word(capsys, tmp_path, server):
    said = refused(capsys, "--name=a", f"--server={server}", "--join=x")
    assert f"{server} is not encrypted" in said and "https://" in said
    assert "--insecure" in said and "FL_INSECURE=1" in said
    assert not (tmp_path / "fl-agent" / "a" / "identity.json").exists()


@pytest.mark.parametrize(
    ("server", "insecure"),
    [
        ("https://fl.example", False),
        ("http://fl.example", True),
        ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://127.8.9.10:8000", False),
        ("http://[::1]:8000", False),
    ],
)
def test_an_encrypted_or_local_way_needs_none(tmp_path, server, insecure):
    arguments = ["--name=a", f"--server={server}", "--join=x", *(["--insecure"] if insecure else [])]
    settings = flags.read(arguments, {})
    state = open_state(settings)
    assert identify(settings, state).server == server
    state.close()


def test_a_client_that_joined_over_plain_http_before_needs_the_word_now(capsys, tmp_path):
    state = State(tmp_path)
    state.save(Identity("http://fl.example", "a", "ab" * 32, client_id="1"))
    state.close()
    assert "--insecure" in refused(capsys, f"--state={tmp_path}")


def test_help_names_every_flag_and_variable(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{flag.name}" in text and flag.env in text for flag in flags.FLAGS)


def test_the_version_is_the_projects(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"fl-agent {__version__}\n"


def test_the_default_state_folder_is_the_clients_own(tmp_path):
    assert default_folder("site-a") == tmp_path / "fl-agent" / "site-a"


@pytest.mark.parametrize(
    "name", ["कि-मुंबई", "ไทยรัฐ", "தமிழ்", "বাংলা", "Ecole de Médecine", "Z\u0061\u0308hringen", "site_1 @north", "東京"]
)
def test_a_name_in_any_script_is_taken_as_the_server_takes_it(name: str):
    from federation.fl import names

    settings = flags.read(["--name", name], {})
    assert settings.name == unicodedata.normalize("NFC", name) and names.is_valid(settings.name)


@pytest.mark.parametrize("name", ["\u093fa", "a\u202eb", "-a", ".hidden", "a/b", "a\u200bb", "x" * 65, "a\u0000"])
def test_a_name_that_the_server_refuses_is_refused_here(capsys, name: str):
    assert "--name" in refused(capsys, f"--name={name}")


def test_a_name_that_was_typed_decomposed_belongs_to_the_same_folder(tmp_path):
    decomposed = unicodedata.normalize("NFD", "Zähringen")
    state = State(tmp_path / "state")
    state.save(Identity("https://a:1", "Zähringen", "t" * 64, client_id="7"))
    settings = flags.read(["--name", decomposed, "--state", str(tmp_path / "state")], {})
    assert identify(settings, state).name == "Zähringen"
    state.close()


def test_the_flags_of_a_flower_app_are_read():
    words = ["--flower-app", "a.b:app", "--flower-measures", "auc, f1", "--flower-node-config"]
    settings = flags.read([*words, 'partition-id=0 num-partitions=3 site="new york" fast=true'], {})
    assert (settings.flower_app, settings.flower_measures) == ("a.b:app", ("auc", "f1"))
    assert settings.flower_node_config == {"partition-id": 0, "num-partitions": 3, "site": "new york", "fast": True}


def test_the_flags_of_an_nvflare_script_are_read():
    words = ["--nvflare-script", "a/train.py", "--nvflare-name", "hello", "--nvflare-measures", "auc,f1"]
    settings = flags.read([*words, "--nvflare-anew", "--nvflare-initial", "model:Net"], {})
    assert settings.nvflare_script == Path("a/train.py").absolute()
    assert (settings.nvflare_name, settings.nvflare_initial) == ("hello", "model:Net")
    assert (settings.nvflare_measures, settings.nvflare_anew) == (("auc", "f1"), True)
