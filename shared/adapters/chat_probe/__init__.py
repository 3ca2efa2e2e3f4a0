"""Whether Rocket.Chat serves (`health`), and whether it is the version that was deployed (`smoke`)."""
