"""The embedded Azure Functions host: runs an app of the Python v2 model without the .NET host.

Microsoft's own worker library (`azure-functions-runtime`) indexes the app, converts inputs and outputs and
calls the functions; this package is the rest of the platform: HTTP with keys, timers, queues, Event Grid and
the admin API, with the behaviour of the real host where an app can see it.
"""
