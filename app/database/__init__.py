"""Django's PostgreSQL engine with a limit on how long a silent server is listened to.

A network that swallows packets answers nothing, not even a refusal, and libpq waits for an answer for ever. The
server's statement_timeout cannot help there, and TCP's own timers do not where something on the way keeps the
connection open.
"""
