"""What a Rocket.Chat in use writes to its database, action by action; `local.rocketchat.writer` runs them.

An action is a function that takes the `Live` server and returns how many write commands it sent.
"""
