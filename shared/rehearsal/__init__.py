"""Rehearsals: a new Rocket.Chat is started on a copy of the newest backup, shut in, before it ships."""
