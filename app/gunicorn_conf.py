"""gunicorn's settings; BIND, PORT, WEB_CONCURRENCY (processes) and WEB_THREADS (threads of each) vary them."""

import os

from app.logs import logging_settings

bind = os.environ.get("BIND") or f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 30
graceful_timeout = 5
keepalive = 75  # longer than the load balancer's idle timeout, so that it never writes to a connection just closed
logconfig_dict = logging_settings()
control_socket_disable = True
