"""Health: alive or not for anybody, and for the holder of a key what works and what does not."""

import json

import azure.functions as func

bp = func.Blueprint()


# Anonymous and from memory: what strangers ask for must neither cost anything nor say anything.
@bp.route(route="health", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """200: the app runs. `/api/health/report` tells whether it can do its work."""
    body = "" if req.method == "HEAD" else json.dumps({"status": "alive"})
    return func.HttpResponse(body, mimetype="application/json", headers={"Cache-Control": "no-store"})


@bp.route(route="health/report", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def health_report(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the platform names the parameter
    """200 if all checks pass, else 503, within three seconds; the body names each check."""
    from shared.wiring.health import health_monitor

    # What runs longer than its time goes on in its thread, so that no prober waits for a dead MongoDB.
    body = health_monitor().report()
    status = 200 if body["status"] == "ok" else 503
    return func.HttpResponse(json.dumps(body, indent=1), status_code=status, mimetype="application/json")


# Anonymous for the platform, as the other pages are: the page asks who looks.
@bp.route(route="health/page", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health_page(req: func.HttpRequest) -> func.HttpResponse:
    """The same for people who are signed in and may look by policy."""
    from shared.health.page import render_page
    from shared.wiring.health import health_page as wire_page

    headers = {name.lower(): value for name, value in req.headers.items()}
    page = render_page(wire_page(), headers)
    return func.HttpResponse(page.body, status_code=page.status, headers=dict(page.headers))
