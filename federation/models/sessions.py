"""Training sessions and the global models that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from federation import schedules
from federation.fl import optimizers, rates, workloads
from federation.fl.strategies import STRATEGIES
from federation.fl.workloads import declaration
from federation.fl.workloads.declaration import Declaration
from federation.lifecycle import (
    ACTIVE,
    DAMAGED,
    ENDED,
    KEPT,
    FileStatus,
    LatePolicy,
    Origin,
    RoundFailure,
    RoundStatus,
    Schedule,
    SessionStatus,
    WorkKind,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from federation.models.rounds import Round


class SessionQuerySet(models.QuerySet["TrainingSession"]):
    def waiting_for_a_round(self) -> SessionQuerySet:
        """Running sessions with a model that can use clients now, the one that waited longest first.

        They have no active round, or one that clients can join.
        """
        a_model = GlobalModel.objects.filter(session=models.OuterRef("pk"))
        running = self.filter(models.Exists(a_model), status=SessionStatus.RUNNING)
        waiting = running.exclude(round__status=RoundStatus.AGGREGATING)
        waiting = waiting.exclude(~Q(schedule__in=schedules.JOINED), round__status=RoundStatus.COLLECTING)
        waiting = waiting.exclude(schedule__in=schedules.JOINED, idle_since=None)  # its last model is being evaluated
        return waiting.order_by("idle_since", "pk")


class TrainingSession(models.Model):
    """One training of one model over a number of rounds, with its own numbered log of events."""

    name = models.CharField(max_length=100)
    status = models.CharField(max_length=12, choices=SessionStatus.choices, default=SessionStatus.DRAFT)
    reason = models.TextField(blank=True, default="")
    kind = models.CharField(
        max_length=12,
        default=WorkKind.TRAIN.value,
        db_default=WorkKind.TRAIN.value,
        help_text="What its rounds are for: a file in federation/work.",
    )
    schedule = models.CharField(
        max_length=16, choices=Schedule.choices, default=Schedule.SYNCHRONOUS, db_default=Schedule.SYNCHRONOUS.value
    )
    schedule_options = models.JSONField(default=dict, blank=True)
    workload = models.CharField(max_length=64)
    workload_version = models.CharField(max_length=64, blank=True, default="", db_default="")
    declaration = models.JSONField(null=True, blank=True, help_text="Of a workload that only sites have.")
    equal_digests = models.BooleanField(
        default=False, db_default=False, help_text="Ask only sites whose source has the session's digest."
    )
    buffers = models.JSONField(
        null=True, blank=True, help_text="The model's tensors that are statistics. Empty: made before there were roles."
    )
    stays = models.JSONField(
        default=list, blank=True, help_text="Patterns of tensors that stay at each site; see fl.staying."
    )
    staying_tensors = models.JSONField(null=True, blank=True, help_text="What they fit. Empty: no model yet.")
    frozen = models.JSONField(default=list, blank=True, help_text="Patterns of tensors that nobody trains.")
    frozen_tensors = models.JSONField(null=True, blank=True, help_text="What they fit. Empty: no model yet.")
    earlier_clients = models.JSONField(
        null=True,
        blank=True,
        help_text="Clients of the session whose client state it continues. Empty: none.",
    )
    fine_tune_epochs = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of each site on its own data, before it measures the last model."
    )
    workload_options = models.JSONField(default=dict, blank=True)
    workload_digest = models.CharField(max_length=64)
    strategy = models.CharField(max_length=64, default="fedavg")
    strategy_options = models.JSONField(default=dict, blank=True)
    compression = models.CharField(max_length=12, default="none", help_text="How clients may encode their updates.")
    compression_options = models.JSONField(default=dict, blank=True)
    rounds = models.PositiveIntegerField()
    cohort_size = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: everyone online.")
    selection = models.CharField(
        max_length=32, default="random", db_default="random", help_text="Who is asked: a file in fl/selections."
    )
    selection_options = models.JSONField(default=dict, blank=True)
    privacy = models.CharField(
        max_length=16, default="none", db_default="none", help_text="How updates are clipped: fl/privacy/clippings."
    )
    privacy_options = models.JSONField(default=dict, blank=True)
    privacy_before = models.JSONField(
        null=True, blank=True, help_text="What the sessions that it trains further had cost when it was created."
    )
    client_tags = models.JSONField(
        default=list, blank=True, help_text="Only clients with one of these tags are asked. Empty: every client."
    )
    client_ids = models.JSONField(default=list, blank=True, help_text="Only these are asked. Empty: every client.")
    quorum = models.PositiveIntegerField(default=1)
    round_seconds = models.PositiveIntegerField(default=600)
    auto_deadline = models.BooleanField(default=False, help_text="Set round_seconds anew for each round, as learnt.")
    learnt_deadline = models.JSONField(null=True, blank=True, help_text="Where the learnt round_seconds comes from.")
    max_retries = models.PositiveSmallIntegerField(default=2)
    on_round_failure = models.CharField(max_length=12, choices=RoundFailure.choices, default=RoundFailure.RETRY)
    late_policy = models.CharField(max_length=12, choices=LatePolicy.choices, default=LatePolicy.DROP)
    defences = models.JSONField(default=list, blank=True, help_text="Against single bad updates; see fl.defences.")
    train = models.JSONField(help_text="epochs, batch_size, learning_rate")
    optimizer = models.CharField(
        max_length=32, default="sgd", db_default="sgd", help_text="How clients turn gradients into steps."
    )
    optimizer_options = models.JSONField(default=dict, blank=True)
    rate_schedule = models.CharField(
        max_length=32, default="constant", db_default="constant", help_text="The learning rate over the rounds."
    )
    rate_schedule_options = models.JSONField(default=dict, blank=True)
    local_options = models.JSONField(null=True, blank=True, help_text="See fl.local_options. Empty: as usual.")
    seed = models.BigIntegerField(default=1)
    main_measure = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="What says which model is the best."
    )
    early_stop = models.JSONField(null=True, blank=True, help_text="patience, min_delta, target: by the main measure.")
    initial_model = models.ForeignKey(
        "ModelUpload", models.SET_NULL, null=True, blank=True, related_name="sessions", help_text="Version 0's file."
    )
    start_from = models.ForeignKey("GlobalModel", models.SET_NULL, null=True, blank=True, related_name="continued_by")
    last_seq = models.PositiveBigIntegerField(default=0)
    failing = models.JSONField(default=dict, blank=True, help_text="Steps that failed and are tried again.")
    idle_since = models.DateTimeField(
        null=True, blank=True, help_text="Since when it waits for clients; decides turns."
    )
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    compacted_at = models.DateTimeField(null=True, blank=True, help_text="When its curves and its log were thinned.")
    points_reported = models.PositiveBigIntegerField(null=True, blank=True, help_text="How many points it had before.")

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = "training session"
        ordering = ("-pk",)
        constraints = (
            models.CheckConstraint(condition=Q(rounds__gte=1), name="session_has_rounds"),
            models.CheckConstraint(condition=Q(quorum__gte=1), name="session_has_a_quorum"),
            models.CheckConstraint(
                condition=Q(cohort_size=None) | Q(quorum__lte=F("cohort_size")), name="session_quorum_within_cohort"
            ),
        )
        indexes: ClassVar = [models.Index(fields=("status",), name="session_status")]

    def __str__(self) -> str:
        return self.name

    @property
    def told(self) -> Declaration | None:
        """What sites declare of its workload. None: the server has it."""
        return declaration.kept(self.declaration) if self.is_of_sites else None

    @property
    def is_of_sites(self) -> bool:
        """Whether only sites have its workload, and declare it."""
        return isinstance(self.declaration, dict) and self.declaration.get("name") == self.workload

    @property
    def follows_settings(self) -> bool:
        """Whether its workload trains with the optimizer and the other settings of the session."""
        if self.is_of_sites:
            return bool(self.told and self.told.follows_settings)
        return workloads.follows_settings(self.workload)

    @property
    def trains_plainly(self) -> bool:
        """Whether its clients use SGD and no other setting, which is all that some releases know."""
        plain = self.optimizer == optimizers.PLAIN.name and not any((self.optimizer_options or {}).values())
        return plain and not self.local_options and not STRATEGIES[self.strategy].changes_training

    def learning_rate(self, round_number: int) -> float:
        """With which its clients train in a round."""
        factor = rates.build(self.rate_schedule, self.rate_schedule_options).factor(round_number)
        return float(self.train["learning_rate"] * factor)

    @property
    def unsent(self) -> list[str]:
        """The model's tensors that no update has."""
        return [*(self.staying_tensors or ()), *(self.frozen_tensors or ())]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def own_rounds(self) -> QuerySet[Round]:
        """The rounds that the session is for. Those of other kinds have numbers of their own."""
        return self.round_set.filter(kind=self.kind)

    def active_round(self, *, of_any_kind: bool = False) -> Round | None:
        """Its open round. of_any_kind: the evaluation of its last model, too."""
        found = self.round_set.all() if of_any_kind else self.own_rounds
        return found.filter(status__among=ACTIVE).select_related("base_model").order_by("pk").first()

    def last_round(self) -> Round | None:
        return self.own_rounds.order_by("number", "attempt").last()

    def last_model(self) -> GlobalModel | None:
        return self.models.order_by("version").last()


class NoiseKey(models.Model):
    """What the noise of a private session is made of. Who has it can subtract the noise: nothing shows or copies it."""

    session = models.OneToOneField(TrainingSession, models.CASCADE, related_name="noise_key")
    key = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"of {self.session_id}"


class GlobalModelQuerySet(models.QuerySet["GlobalModel"]):
    def kept(self) -> GlobalModelQuerySet:
        """Models that carry a tag: somebody chose them, so their files are never pruned."""
        return self.filter(pk__in=ModelTag.objects.order_by().values("model"))


class GlobalModel(models.Model):
    """A version of a session's model: 0 is the initial one, n the result of round n."""

    session = models.ForeignKey(TrainingSession, models.CASCADE, related_name="models")
    version = models.PositiveIntegerField()
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.ROUND, db_default=Origin.ROUND.value)
    digest = models.CharField(max_length=64)
    num_bytes = models.PositiveBigIntegerField()
    slots_digest = models.CharField(max_length=64, blank=True, default="", help_text="The optimizer state's file.")
    file_status = models.CharField(max_length=12, choices=FileStatus.choices, default=FileStatus.STORED)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    round = models.OneToOneField("Round", models.CASCADE, null=True, blank=True, related_name="model")
    metrics = models.JSONField(default=dict, blank=True, help_text="Central evaluation on the held-out test set.")
    federated_metrics = models.JSONField(
        default=dict, blank=True, help_text="The clients' evaluation on their own held-out data, weighted by examples."
    )
    evaluated_at = models.DateTimeField(null=True, blank=True)
    evaluation_error = models.TextField(blank=True, default="", help_text="Why it could not be evaluated.")
    note = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    objects = GlobalModelQuerySet.as_manager()

    class Meta:
        verbose_name = "global model"
        ordering = ("session", "version")
        constraints = (models.UniqueConstraint(fields=("session", "version"), name="model_version_once"),)
        indexes: ClassVar = [
            models.Index(fields=("digest",), name="model_digest"),
            models.Index(fields=("slots_digest",), name="model_slots_digest"),
            models.Index(fields=("-created_at", "-id"), name="model_newest"),
            models.Index(fields=("session",), condition=Q(file_status__among=DAMAGED), name="model_damaged"),
            models.Index(
                fields=("id",), condition=Q(evaluated_at=None, file_status__among=KEPT), name="model_not_evaluated"
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.version}"

    @property
    def is_kept(self) -> bool:
        """Whether a tag keeps its file for good."""
        return bool(self.tags.all())


class ModelUpload(models.Model):
    """A file of weights that an operator sends, to begin sessions with. Its row keeps the file in the store."""

    name = models.CharField(max_length=200, blank=True, default="")
    digest = models.CharField(max_length=64, blank=True, default="", help_text="Empty until the file is whole.")
    num_bytes = models.PositiveBigIntegerField(default=0)
    upload_offset = models.PositiveBigIntegerField(default=0)
    upload_length = models.PositiveBigIntegerField(null=True, blank=True)
    file_status = models.CharField(max_length=12, choices=FileStatus.choices, default=FileStatus.STORED)
    buffers = models.JSONField(default=list, blank=True, help_text="The tensors in it that are statistics.")
    error = models.TextField(blank=True, default="", help_text="Why it cannot be used.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        verbose_name = "uploaded model"
        ordering = ("-pk",)
        indexes: ClassVar = [models.Index(fields=("digest",), name="model_upload_digest")]

    def __str__(self) -> str:
        return self.name or self.digest[:12]


class ModelTag(models.Model):
    """A word on a global model. One model a workload is in production; any other word may be on many."""

    PRODUCTION = "production"

    model = models.ForeignKey(GlobalModel, models.CASCADE, related_name="tags")
    name = models.CharField(max_length=32)
    workload = models.CharField(max_length=64, help_text="The model's, so that the database can keep production once.")
    added_at = models.DateTimeField(default=timezone.now)
    added_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("model", "name"), name="model_tag_once"),
            models.UniqueConstraint(
                fields=("workload",), condition=Q(name="production"), name="one_production_model_a_workload"
            ),
        )

    def __str__(self) -> str:
        return self.name
