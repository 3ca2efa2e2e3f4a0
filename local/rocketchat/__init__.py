"""A believable Rocket.Chat database as input: `seed` makes one, `generate` its raw BSON, `writer` changes it.

The shape (collections, fields, kinds of ids, indexes, sizes) follows what Rocket.Chat 7 and 8 keep; all
content is made up from a seed, the same on every machine.
"""
