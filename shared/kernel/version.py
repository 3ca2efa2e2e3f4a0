"""The one place where Groundcrew's version is written: the package, the command and the archives read it."""

VERSION = "0.2.0"
