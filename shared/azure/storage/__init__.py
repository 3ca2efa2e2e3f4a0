"""Azure Storage over its REST protocol: who signs, how often it is tried, what its answers mean.

Blobs and queues need a dozen operations of it. The SDKs, which have all of them, cost a fresh worker a
quarter of a second of CPU before the first request (ADR 23).
"""
