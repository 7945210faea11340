"""Addresses of the dashboard, each with the act that it needs.

All but the sign-in page and the one for the first account need somebody signed in.
"""

from django.urls import URLPattern, path

from dashboard import asked_logs
from dashboard.kit import banner
from dashboard.kit.moments import of_one_moment
from dashboard.kit.signin import ActOf, View, guarded
from dashboard.pages.account import first_account, keys
from dashboard.pages.account import views as account
from dashboard.pages.activity import views as activity
from dashboard.pages.alerts import views as alerts
from dashboard.pages.clients import one_client as client
from dashboard.pages.clients import views as clients
from dashboard.pages.compare import views as compare
from dashboard.pages.models import evaluating
from dashboard.pages.models import views as models
from dashboard.pages.new_session import uploaded
from dashboard.pages.new_session import views as new_session
from dashboard.pages.overview import views as overview
from dashboard.pages.session import steering
from dashboard.pages.session import views as sessions
from dashboard.pages.workloads import views as workloads
from federation.access import Act


def page(route: str, view: View, name: str, act: ActOf = Act.SEE) -> URLPattern:
    """act: what the user must be allowed to do, for the question as for the act itself."""
    return path(route, guarded(of_one_moment(view), act), name=name)


urlpatterns = [
    path("first-account/", first_account.first_account_page, name="first_account"),
    path("sign-in/", account.SignIn.as_view(), name="login"),
    path("sign-out/", account.SignOut.as_view(), name="logout"),
    page("password/", account.ChangePassword.as_view(), name="password", act=Act.OWN_ACCOUNT),
    page("keys/", keys.page, name="keys"),
    page("keys/new/", keys.create, name="key_new", act=keys.act_of_new_key),
    page("keys/<id:key_id>/revoke/", keys.revoke, name="key_revoke", act=keys.act_of_key),
    page("", overview.page, name="overview"),
    page("training/", overview.training, name="training"),
    page("overview/parts/", overview.parts, name="overview_parts"),
    page("overview/launch/", overview.launch, name="first_launch", act=Act.STEER_SESSIONS),
    path("health/", banner.fragment, name="health"),
    page("find/", overview.find, name="find"),
    page("logs/server/", asked_logs.of_server, name="server_log"),
    page("logs/sessions/<id:session_id>/", asked_logs.of_session, name="session_log"),
    page("sessions/", sessions.index, name="sessions"),
    page("sessions/rows/", sessions.rows, name="session_rows"),
    page("sessions/new/", new_session.page, name="session_new", act=Act.STEER_SESSIONS),
    page("sessions/new/check/", new_session.check, name="session_check", act=Act.STEER_SESSIONS),
    page("sessions/new/who/", new_session.who, name="session_who", act=Act.STEER_SESSIONS),
    page("sessions/new/estimate/", new_session.estimated, name="session_estimate", act=Act.STEER_SESSIONS),
    page("sessions/new/uploads/", uploaded.index, name="uploads", act=Act.STEER_SESSIONS),
    page("sessions/new/uploads/<id:upload_id>/delete/", uploaded.delete, name="upload_delete", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/", sessions.page, name="session"),
    page("sessions/<id:session_id>/head/", sessions.head, name="session_head"),
    page("sessions/<id:session_id>/round/", sessions.current_round, name="session_round"),
    page("sessions/<id:session_id>/history/", sessions.past, name="session_history"),
    page("sessions/<id:session_id>/timeline/", sessions.past_rounds, name="session_timeline"),
    page("sessions/<id:session_id>/privacy/", sessions.spent, name="session_privacy"),
    page("sessions/<id:session_id>/data/", sessions.data, name="session_data"),
    page("sessions/<id:session_id>/events/", sessions.events, name="session_events"),
    page("sessions/<id:session_id>/settings/", sessions.settings, name="session_settings"),
    page("sessions/<id:session_id>/evaluation/", sessions.evaluation, name="session_evaluation"),
    page("sessions/<id:session_id>/points/", sessions.points, name="session_points"),
    page("sessions/<id:session_id>/start/", steering.start, name="session_start", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/pause/", steering.pause, name="session_pause", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/resume/", steering.resume, name="session_resume", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/cancel/", steering.cancel, name="session_cancel", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/delete/", steering.delete, name="session_delete", act=Act.DELETE_SESSIONS),
    page("sessions/<id:session_id>/more/", steering.more, name="session_more", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/again/", steering.again, name="session_again", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/round/finish/", steering.finish, name="round_finish", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/round/extend/", steering.extend, name="round_extend", act=Act.STEER_SESSIONS),
    page("sessions/<id:session_id>/round/skip/", steering.skip, name="round_skip", act=Act.STEER_SESSIONS),
    page("clients/", clients.page, name="clients"),
    page("clients/rows/", clients.rows, name="client_rows"),
    page("clients/invitations/", clients.open_invitations, name="invitations"),
    page("clients/invite/", clients.invite, name="invite", act=Act.INVITE),
    page("clients/invitations/<id:invitation_id>/revoke/", clients.revoke, name="invitation_revoke", act=Act.INVITE),
    page("clients/<id:client_id>/", client.page, name="client"),
    page("clients/<id:client_id>/parts/", client.parts, name="client_parts"),
    page("clients/<id:client_id>/log/", client.log, name="client_log"),
    page("clients/<id:client_id>/tags/", client.retag, name="client_retag", act=Act.MANAGE_CLIENTS),
    page("clients/<id:client_id>/reissue/", client.reissue, name="client_reissue", act=Act.REISSUE_TOKENS),
    page("clients/<id:client_id>/enable/", clients.enable, name="client_enable", act=Act.MANAGE_CLIENTS),
    page("clients/<id:client_id>/disable/", clients.disable, name="client_disable", act=Act.MANAGE_CLIENTS),
    page("clients/<id:client_id>/remove/", clients.remove, name="client_remove", act=Act.REMOVE_CLIENTS),
    page("compare/", compare.page, name="compare"),
    page("compare/parts/", compare.parts, name="compare_parts"),
    page("models/", models.index, name="models"),
    page("models/rows/", models.rows, name="model_rows"),
    page("models/compare/", models.compare, name="model_compare"),
    page("models/<id:model_id>/", models.page, name="model"),
    page("models/<id:model_id>/evaluate/", evaluating.evaluate, name="model_evaluate", act=Act.STEER_SESSIONS),
    page("models/<id:model_id>/evaluations/", models.evaluated, name="model_evaluations"),
    page("models/<id:model_id>/tags/", models.tagged, name="model_tagged"),
    page("models/<id:model_id>/tag/", models.tag, name="model_tag", act=models.act_of_tag),
    page("models/<id:model_id>/untag/", models.untag, name="model_untag", act=models.act_of_tag),
    page("models/<id:model_id>/note/", models.note, name="model_note", act=Act.TAG_MODELS),
    page("workloads/", workloads.index, name="workloads"),
    page("workloads/list/rows/", workloads.rows, name="workload_rows"),
    page("workloads/<slug:workload>/", workloads.page, name="workload"),
    page("workloads/<slug:workload>/parts/", workloads.parts, name="workload_parts"),
    page("activity/", activity.page, name="activity"),
    page("activity/rows/", activity.rows, name="activity_rows"),
    page("alerts/", alerts.page, name="alerts"),
    page("alerts/parts/", alerts.parts, name="alert_parts"),
    page("alerts/count/", alerts.count, name="alert_count"),
    page("alerts/acknowledge/", alerts.acknowledge, name="alert_acknowledge", act=Act.MANAGE_ALERTS),
    page("alerts/rules/new/", alerts.edit, name="rule_new", act=alerts.act_of_rule),
    page("alerts/rules/<id:rule_id>/", alerts.edit, name="rule", act=alerts.act_of_rule),
    page("alerts/rules/<id:rule_id>/test/", alerts.test, name="rule_test", act=alerts.act_of_rule),
    page("alerts/rules/<id:rule_id>/delete/", alerts.delete, name="rule_delete", act=alerts.act_of_rule),
]
