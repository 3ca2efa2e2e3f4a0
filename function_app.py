"""Registers the blueprints; little else, since an exception here would lose every function."""

import gc

import azure.functions as func

from functions.alerts import bp as alerts
from functions.backup import bp as backup
from functions.calendar import bp as calendar
from functions.certificates import bp as certificates
from functions.chatops import bp as chatops
from functions.cost import bp as cost
from functions.deploy import bp as deploy
from functions.doctor import bp as doctor
from functions.drill import bp as drill
from functions.hardening import bp as hardening
from functions.health import bp as health
from functions.pitr import bp as pitr
from functions.power import bp as power
from functions.rehearsal import bp as rehearsal
from functions.retention import bp as retention
from functions.secrets import bp as secrets
from functions.snapshots import bp as snapshots
from functions.status import bp as status
from shared.kernel.logs import configure_logging

# What a fresh worker imports stays as long as it does. With Python's own threshold (2,000 new objects) it is
# looked through again and again during the first call, for a twentieth of its CPU and nothing found: the
# dearest makes 90,000.
gc.set_threshold(100_000, 10, 10)
configure_logging()
app = func.FunctionApp()
for blueprint in (
    alerts, backup, calendar, certificates, chatops, cost, deploy, doctor, drill, hardening, health, pitr,
    power, rehearsal, retention, secrets, snapshots, status,
):  # fmt: skip
    app.register_functions(blueprint)
