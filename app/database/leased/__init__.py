"""The shop's engine where it writes under the lease; see docs/write-lease.md."""
