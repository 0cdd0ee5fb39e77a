"""Settings shared by development, tests and production."""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONCE, NONE, SELF

from engine.settings import env

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(env.text("CANDID8_HOME", str(ROOT / ".candid8")))

SECRET_KEY = env.text("SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", default="127.0.0.1 localhost")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", default="")

INSTALLED_APPS = [
    "engine",  # before the admin, whose templates it overrides
    "engine.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "csp",
    "annotate",
    "frontend",
    "workers",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "annotate.language.page_language",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "annotate.urls"
ASGI_APPLICATION = "annotate.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ],
        },
    }
]

# --- the three services; embedded or real, the code cannot tell ---------------------------------------------------
DATABASES = {"default": env.database("DATABASE_URL")}
DATABASES["default"] |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
DATABASE_POOL = {"min_size": 1, "max_size": 10, "timeout": 10}
DATABASES["default"]["OPTIONS"]["pool"] = DATABASE_POOL

REDIS_URL, CELERY_BROKER_URL = env.redis_urls("REDIS_URL")
CACHES = {"default": {"BACKEND": "engine.shared_cache.SharedRedisCache", "LOCATION": REDIS_URL}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # An idle receive() must wait for ever: redis-py's default socket time-out would close the socket each 5 s.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}]},
    }
}

S3_ENDPOINT_URL = env.text("S3_ENDPOINT_URL")
S3_PUBLIC_ENDPOINT_URL = env.text("S3_PUBLIC_ENDPOINT_URL", S3_ENDPOINT_URL)
S3_ACCESS_KEY_ID = env.text("S3_ACCESS_KEY_ID")
S3_SECRET_ACCESS_KEY = env.text("S3_SECRET_ACCESS_KEY")
S3_BUCKET = env.text("S3_BUCKET", "candid8")
S3_PRESIGN_SECONDS = env.integer("S3_PRESIGN_SECONDS", default=6 * 3600)

# --- people ---------------------------------------------------------------------------------------------------------
# Sessions live in Redis: a claim then costs no SQL for knowing who asks.
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
SESSION_COOKIE_HTTPONLY = True
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login"
CSRF_FAILURE_VIEW = "annotate.failures.csrf_failed"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
]

# --- time, language, files --------------------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_COOKIE_NAME = "candid8_language"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# Vite has put the content's hash into these names.
WHITENOISE_IMMUTABLE_FILE_TEST = r"^/static/candid8/assets/.+$"
FRONTEND_BUILD = ROOT / "frontend" / "static" / "candid8"

# --- limits -----------------------------------------------------------------------------------------------------------
MAX_IMAGE_BYTES = env.integer("MAX_IMAGE_BYTES", default=40 * 1024 * 1024)
MAX_IMAGE_PIXELS = env.integer("MAX_IMAGE_PIXELS", default=64_000_000)
MIN_IMAGE_SIDE = 32
#: Wider pictures are no photographs, and browsers' canvases end at about this size.
MAX_IMAGE_SIDE = 16_384
MAX_MESH_BYTES = env.integer("MAX_MESH_BYTES", default=64 * 1024 * 1024)
MAX_POINT_MAP_BYTES = env.integer("MAX_POINT_MAP_BYTES", default=256 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024

# --- HTTP -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["annotate.api.reading.LimitedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "annotate.api.problems.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Candid8",
    "DESCRIPTION": "The data engine's HTTP interface, version 1.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PATH_CONVERTER_OVERRIDES": {"row": {"type": "integer", "minimum": 1}},
    # Enums stand where they are used: a choice set that two rows share would else get one row's name for both.
    "POSTPROCESSING_HOOKS": ["annotate.api.schema.drop_enum_marks"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # WebAssembly: the splat renderer; blob workers: its sorter. No inline script, no eval.
        "script-src": [SELF, NONCE, "'wasm-unsafe-eval'"],
        "worker-src": [SELF, "blob:"],
        "connect-src": [SELF, "blob:", "data:", S3_PUBLIC_ENDPOINT_URL],
        "img-src": [SELF, "data:", "blob:", S3_PUBLIC_ENDPOINT_URL],
        "style-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- the model ---
SHIPPED_CHECKPOINT = ROOT / "fixtures" / "checkpoints" / "tiny"
#: What `python -m training.cli reward-report` measured; the console shows what a pre-filter recovers only from here.
REWARD_REPORT = ROOT / "docs" / "reports" / "reward.json"
SHIPPED_DEPTH_CHECKPOINT = ROOT / "fixtures" / "checkpoints" / "depth-tiny"
DEVICE = env.text("CANDID8_DEVICE", "auto")
#: An estimator of the operator's own, "moge:/weights/model.pt" for one; empty: the small network that is shipped.
POINT_MAP_ESTIMATOR = env.text("POINT_MAP_ESTIMATOR", "")
#: A segmenter of the operator's own, two ONNX files (docs/guide/segmenter.md); empty: GrabCut alone.
SEGMENTER_ENCODER, SEGMENTER_DECODER = env.both_or_neither("SEGMENTER_ENCODER", "SEGMENTER_DECODER")
#: Where workers find the library of meshes for retrieval (docs/guide/retrieval.md); empty: there is none.
MESH_LIBRARY = env.text("MESH_LIBRARY", "")
#: Ports that have a worker of their own, which consumes source.<name> (docs/guide/ports.md), and on its machine the
#: TOML file that says where they are installed.
CANDIDATE_SOURCES = env.words("CANDIDATE_SOURCES", default="")
SOURCES_TABLE = env.text("SOURCES_TABLE", "")
#: How long a batch waits for such a source before the others fill up.
SOURCE_PATIENCE_SECONDS = env.integer("SOURCE_PATIENCE_SECONDS", default=600)
JOB_LEASE_SECONDS = env.integer("JOB_LEASE_SECONDS", default=20)
JOB_MAX_ATTEMPTS = env.integer("JOB_MAX_ATTEMPTS", default=5)

#: Where the operator runs TensorBoard on HOME/runs; set, training runs write event files and their pages link there.
TENSORBOARD_URL = env.web_address("TENSORBOARD_URL")

BROWSER_TEST_HANDLE = env.boolean("BROWSER_TEST_HANDLE", default=False)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {"django.request": {"level": "ERROR"}, "botocore": {"level": "WARNING"}},
}
