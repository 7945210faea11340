"""A client tells which workloads it has: checked at the door, kept as rows, replaced when it tells again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import catalogue
from federation.errors import Invalid
from federation.fl.workloads import WORKLOADS, declaration
from federation.fl.workloads.known import Known
from federation.models import Client, ServedWorkload
from federation.services import clients
from federation.services.clients import catalogues
from tests.federation.services.declaring import DIGEST, NAME, entry, telling
from tests.properties import PROPERTY, json_values

pytestmark = pytest.mark.django_db
OWN = next(iter(WORKLOADS))


def rows():
    return {row.name: row for row in ServedWorkload.objects.all()}


def test_what_a_client_tells_when_it_joins_is_kept(enrol):
    enrol("anna", **telling(entry(mood="fine")))
    row = rows()[NAME]
    assert (row.version, row.digest, row.num_examples) == ("1.2", DIGEST, 1200)
    assert declaration.from_json(row.declaration).to_json() == row.declaration
    assert row.declaration["train_defaults"] == {"epochs": 3, "batch_size": 8, "learning_rate": 0.05}
    assert "mood" not in row.declaration
    assert Client.objects.get().info["catalogue"] == {NAME: DIGEST}


def test_telling_again_replaces_it_and_names_another_source(enrol, now):
    (anna,) = enrol("anna", **telling(entry(), entry(name="other")))
    again = telling(entry(version="2", digest="e" * 64, num_examples=None))
    assert clients.tell(anna, again, now=now) == [{"what": "workload", "name": NAME}]
    assert {name: (row.version, row.num_examples) for name, row in rows().items()} == {NAME: ("2", None)}
    clients.tell(anna, {"kinds": ["train"]}, now=now)
    assert not rows() and "catalogue" not in Client.objects.get().info


def test_clients_that_tell_none_keep_working(enrol, now):
    (anna,) = enrol("anna", workloads={"synthetic": "s"}, examples={"synthetic": 5})
    assert [(row.digest, row.num_examples, row.declaration) for row in rows().values()] == [("s", 5, None)]
    assert clients.tell(anna, {"workloads": {"synthetic": "s"}, "catalogue": None}, now=now) == []


def test_the_servers_own_declaration_counts_for_what_it_has(enrol, monkeypatch):
    monkeypatch.setattr(catalogues, "WORKLOADS", Known({NAME: WORKLOADS[OWN]}))
    enrol("anna", workloads={NAME: "a" * 64}, examples={NAME: 7}, **telling())
    row = rows()[NAME]
    assert (row.declaration, row.digest, row.num_examples) == (None, "a" * 64, 7)


def test_what_the_server_loses_counts_as_its_sites_declare_it(enrol):
    source = {NAME: WORKLOADS[OWN]}.copy
    WORKLOADS.plug(source)
    try:
        enrol("anna", **telling())
        assert catalogue.find(NAME) is None
    finally:
        WORKLOADS.unplug(source)
    found = catalogue.find(NAME)
    assert found is not None and found.title == "Chest X-ray" and found.can_begin


@pytest.mark.parametrize(
    ("told", "field", "sentence"),
    [
        ({}, "info.catalogue", "must be a list of at most 50 workloads"),
        ([entry(name=f"w{n}") for n in range(51)], "info.catalogue", "must be a list of at most 50 workloads"),
        ([entry(more="x" * (256 << 10))], "info.catalogue", "is larger than 262144 bytes"),
        ([entry(), 5], "info.catalogue[1]", "Entry 2 of the catalogue must be an object, not 5."),
        ([entry(name="Chest")], "info.catalogue[0].name", "Entry 1 of the catalogue: name must be 1 to 64 characters"),
        ([entry(digest="d")], "info.catalogue[0].digest", "'chest-xray': digest must be 64 hexadecimal digits"),
        ([entry(), entry()], "info.catalogue[1].name", "name is 'chest-xray', like that of an earlier entry"),
        ([entry(num_examples=-1)], "info.catalogue[0].num_examples", "must be null or a whole number from 0"),
        ([entry(title="x" * 101)], "info.catalogue[0].title", "must be at most 100 printable characters"),
        (
            [entry(options=[{"name": "width", "kind": "list", "default": 1}])],
            "info.catalogue[0].options 1: kind",
            "must be one of int, float, str, bool",
        ),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused_by_entry_and_member(enrol, now, told, field, sentence):
    (anna,) = enrol("anna", **telling())
    with pytest.raises(Invalid) as refused:
        clients.tell(anna, {"catalogue": told}, now=now)
    ((where, why),) = refused.value.errors
    assert where == field and sentence in why
    assert list(rows()) == [NAME], "what was told before stays"


@PROPERTY
@given(told=st.lists(st.dictionaries(st.sampled_from(sorted(entry())), json_values()), max_size=3) | json_values())
def test_any_json_is_kept_as_a_whole_declaration_or_refused(told):
    try:
        found = catalogues.read(told)
    except Invalid as refused:
        assert refused.errors
    else:
        assert all(declaration.from_json(one.to_json()) == one for one in found)
