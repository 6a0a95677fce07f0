"""A shop on Django, in one file, that lets users into private channels and announces what they pay."""

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.urls import path
from pusher import Pusher

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["shop.example", "testserver"],
        PUSHER={"app_id": "1001", "key": "key", "secret": "secret", "cluster": "eu"},
        ROOT_URLCONF=__name__,
        SECRET_KEY="a-secret-of-the-shop",
    )


def authorize(request):
    channel, socket_id = request.POST["channel_name"], request.POST["socket_id"]
    if channel != f"private-user-{request.COOKIES.get('user')}":
        return HttpResponse(status=403)
    return JsonResponse(Pusher(**settings.PUSHER).authenticate(channel, socket_id))


def pay(request):
    channels = ["pay_channel", f"private-user-{request.COOKIES['user']}"]
    Pusher(**settings.PUSHER).trigger(channels, "pay_notify", {"message": "pay success!"})
    return HttpResponse(status=204)


urlpatterns = [path("pusher/auth", authorize), path("pay", pay)]
