"""Django's settings. What varies comes from the environment; see app.environment."""

import secrets

from django.utils.csp import CSP

from app import environment, logs

_here = environment.read()

REGION = _here.region
"""Name of the AWS Region that this instance runs in."""
DRILL = _here.drill
"""Whether it runs in a drill: the shop sends and charges nothing, so that telling everybody is all there is to do."""

DEBUG = False
SECRET_KEY = _here.secret_key or secrets.token_urlsafe(48)  # nothing that outlives a process is signed
ALLOWED_HOSTS = list(_here.allowed_hosts)
ROOT_URLCONF = "app.urls"
WSGI_APPLICATION = "app.wsgi.application"
INSTALLED_APPS = ["app.shop"]
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024

MIDDLEWARE = [
    "app.shop.middleware.RegionMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "app.shop.middleware.HostMiddleware",
    "app.shop.middleware.DatabaseMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.csp"]},
    }
]
SILENCED_SYSTEM_CHECKS = [
    "security.W003",  # CSRF: there is neither a cookie nor a session that another site could borrow
    "security.W004",  # HSTS and
    "security.W008",  # the redirect to HTTPS belong to the load balancer, where TLS ends
]
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.NONCE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}

DATABASES = {
    "default": {
        "ENGINE": "app.database",
        "HOST": _here.database_host,
        "PORT": _here.database_port,
        "NAME": _here.database_name,
        "USER": _here.database_user,
        "PASSWORD": _here.database_password,
        # Kept over requests, but looked at before each: after a failover the old one is dead or leads to a replica.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": {
            "application_name": "relight-shop",
            "target_session_attrs": "any",  # a replica is a fine place to wait on for its promotion
            "connect_timeout": 2,
            "keepalives": 1,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 4000,
            # The server gives up before app.database does, so that the client learns the reason.
            "options": "-c statement_timeout=3500 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=10000",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if _here.lease:
    # Writes while this Region holds the lease, and not otherwise.
    DATABASES["default"]["ENGINE"] = "app.database.leased"
    INSTALLED_APPS.append("relight_lease")
    RELIGHT_LEASE = {
        "REGION": REGION,
        "HOME_REGION": _here.lease.home_region,
        "LEDGER_REGION": _here.lease.ledger_region,
        "LEDGER_TABLE": _here.lease.ledger_table,
        "TERM_SECONDS": _here.lease.term_seconds,
        "LONGEST_TRANSACTION_SECONDS": _here.lease.longest_transaction_seconds,
    }

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LOGGING = logs.logging_settings()
LOGGING["loggers"]["relight_lease"] = {"level": "INFO"}  # a lease that is granted is news, as one that is lost
