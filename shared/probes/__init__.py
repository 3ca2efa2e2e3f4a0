"""Whether people can work with Rocket.Chat: sign in, write, read, upload; after a deploy and a start."""
