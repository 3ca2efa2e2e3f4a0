"""What keeps each job from running, for the holder of a key."""

import json

import azure.functions as func

bp = func.Blueprint()


@bp.route(route="doctor", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def doctor(req: func.HttpRequest) -> func.HttpResponse:
    """200 if every job could run, else 503; `?only=backup,power` for some of them. No values, no secrets."""
    from shared.health.doctor import build_doctor_report
    from shared.wiring.doctor import doctor_checks

    # Behind a key, as it says what this installation lacks.
    body, healthy = build_doctor_report(doctor_checks(), req.params.get("only", ""))
    status = 200 if healthy else 503
    return func.HttpResponse(json.dumps(body, indent=1), status_code=status, mimetype="application/json")
