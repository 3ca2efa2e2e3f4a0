"""Chat-ops: orders from Rocket.Chat, Slack, Teams, a page behind sign-in and the command line.

One grammar for all platforms, rights by person, room and command, a second person for what cannot be undone.
"""
