"""The sample app of the tests over HTTP; a host runs a copy of it as `function_app.py`."""

import asyncio
import hashlib
import json
import logging
import threading

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
meeting = threading.Barrier(8)
arrived = 0


def answer(**facts: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(facts), mimetype="application/json")


@app.route("things/{id:int}/{*rest}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
def things(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    logging.info("thing_seen", extra={"thing": req.route_params["id"]})
    return answer(
        method=req.method,
        url=req.url,
        params=dict(req.params),
        route=dict(req.route_params),
        agent=req.headers.get("User-Agent"),
        name=context.function_name,
        trace=context.trace_context.trace_parent,
    )


@app.route("bytes", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def digest(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(hashlib.sha256(req.get_body()).hexdigest())


@app.route()
def guarded(req: func.HttpRequest) -> str:
    return "inside"


@app.route("root", auth_level=func.AuthLevel.ADMIN)
def only_master(req: func.HttpRequest) -> str:
    return "root"


@app.route("boom", auth_level=func.AuthLevel.ANONYMOUS)
def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("a secret detail")


@app.route("exit", auth_level=func.AuthLevel.ANONYMOUS)
def exits(req: func.HttpRequest) -> func.HttpResponse:
    raise SystemExit(5)


@app.route("split", auth_level=func.AuthLevel.ANONYMOUS)
def split(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("x", headers={"x-broken": "a\r\nb: c"})


@app.route("cookies", auth_level=func.AuthLevel.ANONYMOUS)
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(b"\x00\xff", status_code=418, mimetype="application/octet-stream")
    response.headers.add("Set-Cookie", "a=1; HttpOnly; Path=/")
    response.headers.add("Set-Cookie", "b=2")
    response.headers["x-own"] = "yes"
    return response


@app.route("meet", auth_level=func.AuthLevel.ANONYMOUS)
def meet(req: func.HttpRequest) -> str:
    return str(meeting.wait(20))


@app.route("gather", auth_level=func.AuthLevel.ANONYMOUS)
async def gather(req: func.HttpRequest) -> func.HttpResponse:
    global arrived
    arrived += 1
    async with asyncio.timeout(20):
        while arrived < 100:
            await asyncio.sleep(0.01)
    return func.HttpResponse("all here")


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *")
def yearly(timer: func.TimerRequest) -> None:
    logging.info("year_over", extra={"past_due": timer.past_due})


@app.event_grid_trigger(arg_name="event")
def stored(event: func.EventGridEvent) -> None:
    logging.info("event_seen", extra={"event_id": event.id, "subject": event.subject})
    if event.id == "bad":
        raise ValueError("bad event")


@app.event_grid_trigger(arg_name="event")
def cloud(event: func.CloudEvent) -> None:
    logging.info("cloud_event_seen", extra={"event_id": event.id, "kind": event.type})


@app.route("off", auth_level=func.AuthLevel.ANONYMOUS)
def off(req: func.HttpRequest) -> str:
    return "on"
