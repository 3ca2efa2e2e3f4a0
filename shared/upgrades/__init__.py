"""What an upgrade of Rocket.Chat takes away from the people of this server, known before it ships."""
