"""Django's settings. Everything that may differ between installations comes from the environment."""

from datetime import timedelta
from pathlib import Path

import dj_database_url

from flsite import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent

# ---- where things are kept
FL_DATA_DIR = env.folder("FL_DATA_DIR", BASE_DIR / "var")
FL_WEIGHTS_DIR = FL_DATA_DIR / "weights"
FL_SCRATCH_DIR = FL_DATA_DIR / "scratch"
FL_UPLOADS_DIR = FL_DATA_DIR / "uploads"
FL_CONVERTED_DIR = FL_DATA_DIR / "converted"
FL_DATA_GROUP = env.group("FL_DATA_GROUP")  # a web server that sends the weights may read them

# ---- how the federation behaves
FL_ONLINE = timedelta(seconds=env.whole("FL_ONLINE_SECONDS", 45, minimum=1, maximum=86_400))
FL_STALL_SECONDS = env.whole("FL_STALL_SECONDS", 60, minimum=1, maximum=3600)
FL_PART_BYTES = env.whole("FL_PART_BYTES", 16 << 20, minimum=1024, maximum=64 << 20)
FL_MAX_PUT_BYTES = env.whole("FL_MAX_PUT_BYTES", 8 << 20, minimum=1024, maximum=64 << 20)
FL_MAX_MODEL_GB = env.whole("FL_MAX_MODEL_GB", 20, minimum=1, maximum=10_000)
FL_WORKLOADS = env.existing_folder("FL_WORKLOADS")
FL_ACCEL_REDIRECT = env.location("FL_ACCEL_REDIRECT")
FL_SOCKETS = env.whole("FL_SOCKETS", 400, minimum=1, maximum=100_000)
FL_SOCKETS_EACH = env.whole("FL_SOCKETS_EACH", 64, minimum=1, maximum=100_000)

# ---- who may watch it from outside
FL_METRICS_TOKEN = env.text("FL_METRICS_TOKEN")
FL_TRACES = env.url("FL_TRACES", "http", "https")
FL_LOG = env.fitting("FL_LOG", "plain", "plain|json", "plain or json")

# ---- how much callers may ask for
FL_REQUESTS_PER_ADDRESS = env.whole("FL_REQUESTS_PER_ADDRESS", 100, minimum=1, maximum=1_000_000)
FL_REQUESTS_PER_CLIENT = env.whole("FL_REQUESTS_PER_CLIENT", 100, minimum=1, maximum=1_000_000)
FL_MAX_CONNECTIONS = env.whole("FL_MAX_CONNECTIONS", 0, minimum=0, maximum=1_000_000)
FL_HEAD_SECONDS = env.whole("FL_HEAD_SECONDS", 10, minimum=1, maximum=3600)
FL_IDLE_SECONDS = env.whole("FL_IDLE_SECONDS", 60, minimum=1, maximum=3600)
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
DATA_UPLOAD_MAX_NUMBER_FILES = 1  # no page accepts files

# ---- how long things are kept
FL_KEEP_UPDATES = env.whole("FL_KEEP_UPDATES", 5, minimum=1, maximum=100_000)
FL_KEEP_MODELS = env.fitting(
    "FL_KEEP_MODELS", "all", "all|best_and_last|every_[1-9][0-9]{0,5}", "all, best_and_last or every_10 (any number)"
)
FL_COMPACT_AFTER = timedelta(days=env.whole("FL_COMPACT_AFTER_DAYS", 30, minimum=0, maximum=36_500))
FL_KEEP_POINTS = env.whole("FL_KEEP_POINTS", 100, minimum=4, maximum=1_000_000)

# ---- who may reach it
DEBUG = env.flag("FL_DEBUG", False)
SECRET_KEY = env.text("FL_SECRET_KEY") or env.kept_secret(FL_DATA_DIR / "secret_key")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", *env.names("FL_ALLOWED_HOSTS", [])]
FL_BEHIND_PROXY = env.flag("FL_BEHIND_PROXY", False)
if FL_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "flsite",  # before daphne: its runserver stands on daphne's
    "federation.apps.FederationConfig",
    "daphne",
    "federation.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
    "axes",
    "dashboard.apps.DashboardConfig",
]
MIDDLEWARE = [
    "flsite.middleware.KnownHost",
    "django.middleware.security.SecurityMiddleware",
    "flsite.middleware.ContentSecurityPolicy",
    "flsite.middleware.ApiProblems",
    "flsite.middleware.DatabaseAway",
    "flsite.middleware.WithoutNul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "flsite.urls"
ASGI_APPLICATION = "flsite.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.kit.frame.shell",
            ],
        },
    }
]

# ---- database: SQLite in one file, or PostgreSQL
DATABASE_URL = env.url("DATABASE_URL", "postgres", "postgresql", "sqlite")
FL_DATABASE_PASSWORD = env.text("FL_DATABASE_PASSWORD")  # beside the URL: it may be in a file of its own
FL_DATABASE_PREPARES = env.flag("FL_DATABASE_PREPARES", True)
SQLITE_OPTIONS = {
    "timeout": 30,
    # Writers queue at their first statement; a transaction that reads first could otherwise fail half way.
    "transaction_mode": "IMMEDIATE",
    # A small cache for each thread, and no mapping: they would grow with the database. The system caches the file.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-250",
}
if DATABASE_URL and not DATABASE_URL.startswith("sqlite"):
    DATABASES = {"default": dj_database_url.parse(DATABASE_URL, engine="flsite.postgresql")}
    prepare = {"prepare_threshold": 2} if FL_DATABASE_PREPARES else {}  # what a connection sends a third time
    DATABASES["default"]["OPTIONS"] = prepare | DATABASES["default"].get("OPTIONS", {})
    if FL_DATABASE_PASSWORD:
        DATABASES["default"]["PASSWORD"] = FL_DATABASE_PASSWORD
else:
    sqlite_name = str(dj_database_url.parse(DATABASE_URL)["NAME"] if DATABASE_URL else FL_DATA_DIR / "db.sqlite3")
    DATABASES = {
        "default": {
            "ENGINE": "flsite.sqlite",
            "NAME": sqlite_name,
            "OPTIONS": SQLITE_OPTIONS,
            # In a file: other threads cannot see an in-memory test database.
            "TEST": {"NAME": str(FL_DATA_DIR / "test.sqlite3")},
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ---- tasks: an embedded worker, or a broker with workers of their own
REDIS_URL = env.url("REDIS_URL", "redis", "rediss")
FL_EMBEDDED = not REDIS_URL
CELERY_BROKER_URL = REDIS_URL or "embedded://localhost/"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "federation"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BEAT_SCHEDULE = {
    "tick": {"task": "federation.tasks.advance_all", "schedule": 1.0, "options": {"expires": 5}},
    "watch": {"task": "federation.tasks.watch", "schedule": 2.0, "options": {"expires": 5}},
    "expire": {"task": "federation.tasks.expire", "schedule": 60.0, "options": {"expires": 60}},
    "prune": {"task": "federation.tasks.prune", "schedule": 3600.0, "options": {"expires": 3600}},
}
CELERY_BEAT_SCHEDULER = "flsite.beating:ElectedScheduler"

# ---- e-mail, for alerts
FL_EMAIL_URL = env.url("FL_EMAIL_URL", "smtp", "smtps", "console", "memory")
FL_EMAIL_IS_SET_UP = bool(FL_EMAIL_URL)
vars().update(env.email(FL_EMAIL_URL))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("FL_EMAIL_FROM", "control-room@localhost")

# ---- webhooks of alerts: hosts in private networks that they may call
FL_WEBHOOK_HOSTS = env.hosts("FL_WEBHOOK_HOSTS")

# ---- people
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "federation.passwords.Backend"]
AXES_HANDLER = "federation.passwords.Handler"
AXES_CLIENT_IP_CALLABLE = "federation.services.signins.address_of"
AXES_LOCKOUT_CALLABLE = "dashboard.pages.account.views.locked_out"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # and by address, see federation.services.signins
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_NAME = "fl_session"
SESSION_COOKIE_AGE = 3600 * env.whole("FL_SIGNED_IN_HOURS", 24, minimum=1, maximum=720)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "fl_csrf"

# ---- words and files
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "dashboard.kit.plotly.PlotlyFinder",
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "federation.logs.AsJson"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": FL_LOG}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "federation": {"level": "INFO"},
        "flsite": {"level": "INFO"},
        "federation.did": {"level": "INFO" if FL_LOG == "json" else "WARNING"},
        # One line a request is too much with agents that poll and stream.
        "django.channels.server": {"level": "INFO" if DEBUG else "ERROR"},
        "celery": {"level": "WARNING"},
    },
}
