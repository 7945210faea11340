"""Addresses of the dashboard. Everything but signing in needs somebody who is signed in."""

from django.urls import URLPattern, path

from dashboard.signin import View, signed_in
from dashboard.views import account, clients, new_session, overview, sessions, steering


def page(route: str, view: View, name: str) -> URLPattern:
    return path(route, signed_in(view), name=name)


urlpatterns = [
    path("sign-in/", account.SignIn.as_view(), name="login"),
    path("sign-out/", account.SignOut.as_view(), name="logout"),
    page("password/", account.ChangePassword.as_view(), name="password"),
    page("", overview.page, name="overview"),
    page("overview/parts/", overview.parts, name="overview_parts"),
    page("overview/launch/", overview.launch, name="first_launch"),
    page("find/", overview.find, name="find"),
    page("sessions/", sessions.index, name="sessions"),
    page("sessions/rows/", sessions.rows, name="session_rows"),
    page("sessions/new/", new_session.page, name="session_new"),
    page("sessions/new/check/", new_session.check, name="session_check"),
    page("sessions/new/who/", new_session.who, name="session_who"),
    page("sessions/<id:session_id>/", sessions.page, name="session"),
    page("sessions/<id:session_id>/head/", sessions.head, name="session_head"),
    page("sessions/<id:session_id>/round/", sessions.round_now, name="session_round"),
    page("sessions/<id:session_id>/history/", sessions.past, name="session_history"),
    page("sessions/<id:session_id>/events/", sessions.events, name="session_events"),
    page("sessions/<id:session_id>/points/", sessions.points, name="session_points"),
    page("sessions/<id:session_id>/start/", steering.start, name="session_start"),
    page("sessions/<id:session_id>/pause/", steering.pause, name="session_pause"),
    page("sessions/<id:session_id>/resume/", steering.resume, name="session_resume"),
    page("sessions/<id:session_id>/cancel/", steering.cancel, name="session_cancel"),
    page("sessions/<id:session_id>/delete/", steering.delete, name="session_delete"),
    page("sessions/<id:session_id>/more/", steering.more, name="session_more"),
    page("sessions/<id:session_id>/again/", steering.again, name="session_again"),
    page("sessions/<id:session_id>/round/finish/", steering.finish, name="round_finish"),
    page("sessions/<id:session_id>/round/extend/", steering.extend, name="round_extend"),
    page("sessions/<id:session_id>/round/skip/", steering.skip, name="round_skip"),
    page("clients/", clients.page, name="clients"),
    page("clients/rows/", clients.rows, name="client_rows"),
    page("clients/invitations/", clients.open_invitations, name="invitations"),
    page("clients/invite/", clients.invite, name="invite"),
    page("clients/invitations/<id:invitation_id>/revoke/", clients.revoke, name="invitation_revoke"),
    page("clients/<id:client_id>/enable/", clients.enable, name="client_enable"),
    page("clients/<id:client_id>/disable/", clients.disable, name="client_disable"),
    page("clients/<id:client_id>/remove/", clients.remove, name="client_remove"),
]
