"""Live and ready checks over HTTP, for load balancers and containers."""

from aiohttp import web

from esp.app import App
from esp.errors import MerpatiError


def routes(app: App) -> list[web.RouteDef]:
    """``/health/live``: this process answers. ``/health/ready``: its database answers too."""

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(_request: web.Request) -> web.Response:
        try:
            await app.store.check()
        except MerpatiError:
            return web.json_response({"status": "the database does not answer"}, status=503)
        return web.json_response({"status": "ready"})

    return [web.get("/health/live", live), web.get("/health/ready", ready)]
