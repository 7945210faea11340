"""The registry: every global model, found by what it is worth and where it came from."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.kit import counts, evaluations, parameters, responses, session_settings
from dashboard.kit.frame import follow_live, following
from dashboard.kit.signin import Request, caller
from dashboard.pages.models import files, finding, ingredients, kept, lineage, measures
from federation import access
from federation.access import Act
from federation.lifecycle import WorkKind
from federation.models import GlobalModel, ModelTag, TrainingSession
from federation.services import models

PER_PAGE = 50
LONGEST_NOTE = 100_000  # read at most; the service decides how long a note may be
USUAL_TAGS = ("candidate", "production")


def _page(model_id: int, *_: object) -> str:
    return reverse("model", args=[model_id])


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    frame = following("models")
    return render(request, "models/list.html", _rows(request) | frame)


@require_GET
def rows(request: HttpRequest) -> HttpResponse:
    return render(request, "models/_table.html", _rows(request))


def _rows(request: HttpRequest) -> dict[str, Any]:
    follow = follow_live()
    address = parameters.of(request)
    narrowed = {name: address.text(name) for name in ("q", "workload", "tag")}
    rows = TrainingSession.objects.filter(models__isnull=False).order_by("workload")
    workloads = list(rows.values_list("workload", flat=True).distinct())
    sorts = finding.sorts(workloads)
    sort = address.choice("sort", sorts, finding.NEWEST)
    found = finding.found(query=narrowed["q"], workload=narrowed["workload"], tag=narrowed["tag"], sort=sort)
    page = Paginator(found, PER_PAGE).get_page(address.page())
    finding.with_leading(page.object_list)
    best_of = workloads[0] if len(workloads) == 1 else narrowed["workload"]
    return {
        **narrowed,
        "follow": follow,
        "sort": sort,
        "sorts": sorts,
        "page": page,
        "best": finding.best(best_of) if best_of else {},
        "best_of": best_of,
        "workloads": workloads,
        "tags": list(ModelTag.objects.order_by("name").values_list("name", flat=True).distinct()),
        "pager_query": urlencode({**narrowed, "sort": sort}),
        "any": GlobalModel.objects.exists(),
        "retention": files.retention(),
    }


@require_GET
def page(request: HttpRequest, model_id: int) -> HttpResponse:
    model = get(model_id)
    if model.session.kind != WorkKind.TRAIN and model.parent is not None:
        return redirect("model", model.parent.pk)  # an evaluation holds its model once more
    frame = following("models", model.session)
    return render(request, "models/model.html", _details(request, model) | frame)


def get(model_id: int) -> GlobalModel:
    known = GlobalModel.objects.select_related("session__initial_model", "parent__session", "round")
    return get_object_or_404(known.prefetch_related("tags"), pk=model_id)


def _details(request: HttpRequest, model: GlobalModel) -> dict[str, Any]:
    carried = {tag.name for tag in model.tags.all()}
    evaluated = _evaluations(request, model)
    numbers = kept.of(model, evaluated["evaluation"])
    held = ModelTag.objects.filter(workload=model.session.workload, name=ModelTag.PRODUCTION)
    return {
        "model": model,
        "session": model.session,
        "ingredients": ingredients.of(model),
        "lineage": lineage.of(model),
        **evaluated,
        "numbers": numbers[: kept.MOST_SHOWN],
        "more_numbers": numbers[kept.MOST_SHOWN :],
        "is_stored": files.is_stored(model),
        "tags": [(tag.name, _may_tag(request, tag.name)) for tag in model.tags.all()],
        "offered_tags": [name for name in USUAL_TAGS if name not in carried and _may_tag(request, name)],
        "in_production": held.exclude(model=model).select_related("model__session").first(),
        "others": model.session.models.exclude(pk=model.pk).order_by("-version")[:50],
    }


@require_GET
def evaluated(request: HttpRequest, model_id: int) -> HttpResponse:
    model = get(model_id)
    return render(request, "models/_evaluations.html", {"model": model, **_evaluations(request, model)})


def _evaluations(request: HttpRequest, model: GlobalModel) -> dict[str, Any]:
    """The newest one that found something, else the newest; and the others."""
    found = evaluations.of_model(model.digest)
    shown = next((one for one in found if one.columns), found[0] if found else None)
    picture = counts.of(shown, counts.asked(parameters.of(request)))
    return {"evaluation": shown, "picture": picture, "others_of_it": [one for one in found if one is not shown]}


@require_GET
def tagged(request: HttpRequest, model_id: int) -> HttpResponse:
    return render(request, "models/_tags.html", _details(request, get(model_id)))


def act_of_tag(request: HttpRequest, *_: object, **__: object) -> Act:
    """The act that the given tag needs."""
    return _act_of(_tag_of(request))


def _tag_of(request: HttpRequest) -> str:
    """The given tag, in the form that every rule uses."""
    return (parameters.form(request) if request.method == "POST" else parameters.of(request)).text("tag").lower()


def _act_of(tag: str) -> Act:
    """Only staff decide which model is in production; every operator may set other tags."""
    return Act.TAG_PRODUCTION if tag.strip().lower() == ModelTag.PRODUCTION else Act.TAG_MODELS


def _may_tag(request: HttpRequest, tag: str) -> bool:
    return access.allowed(caller(request), _act_of(tag))


@require_POST
@responses.act(back=_page)
def tag(request: Request, model_id: int) -> HttpResponse:
    model, name = get(model_id), _tag_of(request)
    models.tag(model, name, by=request.user.get_username())
    return _changed(request, model, f"v{model.version} of {model.session.name} is tagged {name}. Its file is kept.")


@require_http_methods(["GET", "POST"])
@responses.act(back=_page)
def untag(request: Request, model_id: int) -> HttpResponse:
    model = get(model_id)
    name = _tag_of(request)
    if request.method == "GET":
        return responses.ask(request, _lost_by_untagging(model, name))
    models.untag(model, name, by=request.user.get_username())
    return _changed(request, model, f"v{model.version} of {model.session.name} no longer carries {name}.")


def _lost_by_untagging(model: GlobalModel, name: str) -> dict[str, object]:
    others = [tag.name for tag in model.tags.all() if tag.name != name]
    kept = f"Kept: its other tags ({', '.join(others)}), and with them its file." if others else ""
    return {
        "title": f"Take {name} off v{model.version} of {model.session.name}?",
        "lead": ""
        if others
        else "Its file is then not kept for good any more: old ones may be removed, see FL_KEEP_MODELS.",
        "lost": [],
        "kept": kept,
        "stay": "Keep the tag",
        "act": "Take it off",
        "action": reverse("model_untag", args=[model.pk]),
        "fields": {"tag": name},
        "back": _page(model.pk),
    }


@require_POST
@responses.act(back=_page)
def note(request: Request, model_id: int) -> HttpResponse:
    model = get(model_id)
    models.note(model, parameters.form(request).text("note", longest=LONGEST_NOTE), by=request.user.get_username())
    return _changed(request, model, "The note is kept." if model.note else "The note is taken away.")


def _changed(request: Request, model: GlobalModel, sentence: str) -> HttpResponse:
    return responses.done(request, sentence, to=_page(model.pk), icon="check", changed=("tags-changed",))


@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """Two models beside each other, chosen by ?m=1&m=2."""
    two = [get(pk) for pk in parameters.of(request).wholes("m")[:2]]
    context: dict[str, Any] = {"models": two, "now": timezone.now()}
    if len(two) == 2:
        differing = [row for row in session_settings.side_by_side([model.session for model in two]) if row.differs]
        context |= {"measures": measures.of(two), "settings": differing}
    return render(request, "models/compare.html", context | following("models"))
