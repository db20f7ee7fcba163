"""A database engine for Django that writes only while this Region holds the write lease.

The lease is granted by Relight's ledger in the DR Region, and runs out by itself where that cannot be asked. So a
Region that was lost, or cut off, has stopped to write before another one begins; see docs/write-lease.md.
"""
