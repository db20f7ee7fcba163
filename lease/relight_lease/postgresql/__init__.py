"""Django's PostgreSQL engine under the lease: ENGINE "relight_lease.postgresql"."""
