"""The ASGI application: static files and raw routes beside Django, websockets, and the embedded worker."""

import gc
import os

from flsite import files, memory

memory.use_few_arenas()
files.allow_enough()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")

from django.core.asgi import get_asgi_application  # noqa: E402

django_application = get_asgi_application()  # before anything that touches models

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from dashboard.consumers import LogConsumer, nowhere  # noqa: E402
from federation import private  # noqa: E402
from federation.api import health, metrics  # noqa: E402
from federation.api.raw import RawRoutes  # noqa: E402
from federation.api.urls import RAW_ROUTES, TABLES  # noqa: E402
from federation.services import clients  # noqa: E402
from flsite import embedded, urls  # noqa: E402, F401  urls registers the converter "id"
from flsite.gate.gate import Gate  # noqa: E402
from flsite.gate.turns import Turns  # noqa: E402
from flsite.lifespan import lifespan  # noqa: E402
from flsite.observed import observed  # noqa: E402
from flsite.static import StaticFiles  # noqa: E402

private.begin()

followed = AuthMiddlewareStack(LogConsumer.as_asgi())
websockets = URLRouter(
    [
        path("ws/sessions/<id:session_id>/", followed),
        path("ws/server/", followed),
        re_path("", nowhere),  # type: ignore[arg-type]
    ]
)
pages = StaticFiles(Turns(django_application))
application = observed(
    Gate(
        ProtocolTypeRouter(
            {
                "http": RawRoutes(RAW_ROUTES | TABLES | health.ROUTES | metrics.ROUTES, otherwise=pages),
                "websocket": websockets,
                "lifespan": lifespan,
            },
        )
    )
)

# Only a server process imports this module.
clients.heard.begin()
if settings.FL_EMBEDDED:
    embedded.start()

gc.collect()
gc.freeze()  # what is here now stays: no collection is to look at it again, which took 0.08 s each time
gc.set_threshold(5_000, 10, 10)  # 500 waiting clients are 90,000 objects, which few collections look through
