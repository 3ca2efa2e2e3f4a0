"""What works and what does not, for a load balancer and for a person; says nothing that is secret."""

import json

import azure.functions as func

bp = func.Blueprint()


@bp.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the platform names the parameter
    """200 if all checks pass, else 503; the body names each check."""
    from shared.health.job import run_checks
    from shared.wiring import clock
    from shared.wiring.health import health_checks

    body = run_checks(health_checks(), clock())
    status = 200 if body["status"] == "ok" else 503
    return func.HttpResponse(json.dumps(body, indent=1), status_code=status, mimetype="application/json")
