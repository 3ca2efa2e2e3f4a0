"""Registers the blueprints; nothing else, since an exception here would lose every function."""

import azure.functions as func

from functions.backup import bp as backup
from functions.health import bp as health
from functions.status import bp as status

app = func.FunctionApp()
for blueprint in (backup, health, status):
    app.register_functions(blueprint)
