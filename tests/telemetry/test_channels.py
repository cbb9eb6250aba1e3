"""Webhooks and Apprise against a real server, and the command that tries them."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from typing import Any

import pytest
from figured import START_NS
from post_office import PostOffice, post_office

from engine.clock import SystemClock
from engine.errors import SettingsError
from engine.settings import load_settings
from engine.telemetry.alerts import Alert, Severity
from engine.telemetry.apprise_channel import AppriseChannel
from engine.telemetry.channels import channels_of, limits_of
from engine.telemetry.logs import configure_logging
from engine.telemetry.notices import ChannelFailure, NoticeLimits, Notices, attempt, compose
from engine.telemetry.webhook import Webhook

# Apprise looks for a module that newer Pythons lack, and does without.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NODE = {"SOLANA_RPC_URL": "http://127.0.0.1:8899"}
DANGER = Alert(
    number=7, rule="fund-low", subject="", severity=Severity.DANGER, text="9 SOL", since_ns=START_NS
)
NOTICE = compose("default on sandbox", [DANGER])


async def test_a_webhook_gets_the_message_for_people_and_each_alert_for_programs() -> None:
    async with post_office() as office:
        await Webhook(f"{office.url}/hook/SECRET").deliver(NOTICE)
    assert office.paths == ["/hook/SECRET"]
    assert office.posts == [
        {
            "title": "default on sandbox: fund-low, alerts 1 on",
            "text": "default on sandbox: fund-low, alerts 1 on\n"
            "DANGER fund-low: 9 SOL (since 2025-10-09 08:53:20 UTC)",
            "severity": "danger",
            "alerts": [
                {
                    "id": "7",
                    "rule": "fund-low",
                    "subject": "",
                    "severity": "danger",
                    "text": "9 SOL",
                    "since": 1_760_000_000.0,
                    "ended_at": None,
                }
            ],
        }
    ]


async def test_a_start_and_its_recovery_arrive_at_a_real_server_through_a_failure_between() -> None:
    async with post_office() as office:
        office.answers = [503]
        webhook = Webhook(office.url)
        notices = Notices("test", [webhook], NoticeLimits(Severity.INFO, 0, 100), SystemClock())
        running = asyncio.ensure_future(notices.run())
        try:
            notices.tell(DANGER)
            await office.until(2)
            ended = Alert(**{**fields(DANGER), "ended_ns": START_NS + 60 * 10**9})
            notices.tell(ended)
            await office.until(3)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert [post["alerts"][0]["ended_at"] for post in office.posts] == [None, None, 1_760_000_060.0]
    assert "OVER after 60 s" in office.posts[2]["text"]


def fields(alert: Alert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in alert.__struct_fields__}


async def refusal(office: PostOffice, status: int) -> ChannelFailure:
    office.answers = [status]
    failure = await attempt(Webhook(f"{office.url}/SECRET"), NOTICE)
    assert failure is not None
    assert "SECRET" not in str(failure)
    return failure


async def test_what_may_be_better_later_is_told_apart_from_what_never_will() -> None:
    async with post_office() as office:
        for status in (400, 401, 403, 404, 410, 301, 302):
            failure = await refusal(office, status)
            assert failure.is_final
            assert str(status) in str(failure)
        for status in (408, 429, 500, 502, 503):
            assert not (await refusal(office, status)).is_final
        office.headers = {"Retry-After": "40"}
        assert (await refusal(office, 429)).retry_after_s == 40.0


async def test_a_redirect_is_not_followed_with_what_is_meant_for_another_server() -> None:
    async with post_office() as office, post_office() as elsewhere:
        office.headers = {"Location": elsewhere.url}
        assert (await refusal(office, 307)).is_final
        assert elsewhere.posts == []


async def test_a_server_that_is_not_there_or_says_nothing_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with post_office() as office:
        office.silent = True
        monkeypatch.setattr("engine.telemetry.webhook.DEADLINE_S", 0.2)
        silent = await attempt(Webhook(f"{office.url}/SECRET"), NOTICE)
    gone = await attempt(Webhook(f"{office.url}/SECRET"), NOTICE)
    for failure in (silent, gone):
        assert failure is not None
        assert not failure.is_final
        assert "SECRET" not in str(failure)


@pytest.mark.parametrize("url", ["http://a..b/SECRET", "http://" + "x" * 70 + ".example/SECRET"])
async def test_a_host_that_cannot_be_one_is_a_failure_and_no_fault(url: str) -> None:
    failure = await attempt(Webhook(url), NOTICE)
    assert failure is not None
    assert "SECRET" not in str(failure)


async def test_apprise_delivers_by_its_own_protocols() -> None:
    async with post_office() as office:
        channel = AppriseChannel(office.url.replace("http://", "json://") + "/TOKEN")
        await channel.deliver(NOTICE)
    assert channel.name == "apprise json"
    assert office.paths == ["/TOKEN"]
    assert office.posts[0]["title"] == NOTICE.title
    assert office.posts[0]["message"] == NOTICE.text
    assert office.posts[0]["type"] == "failure"


async def test_apprise_says_when_it_could_not_deliver_and_no_log_repeats_its_url() -> None:
    stream = io.StringIO()
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging("debug", stream)
    try:
        async with post_office() as office:
            office.answers = [500]
            url = office.url.replace("http://", "json://user:PASSWORD@") + "/TOKEN"
            with pytest.raises(ChannelFailure, match="could not deliver"):
                await AppriseChannel(url).deliver(NOTICE)
            with pytest.raises(ValueError, match=r"Apprise knows no nosuch://"):
                AppriseChannel("nosuch://PASSWORD/TOKEN")
    finally:
        logging.getLogger().handlers[:] = kept[0]
        logging.getLogger().setLevel(kept[1])
    assert "PASSWORD" not in stream.getvalue()
    assert "TOKEN" not in stream.getvalue()


def test_the_settings_name_the_channels_and_no_text_of_them_holds_a_secret() -> None:
    urls = "https://hooks.example.com/T0KEN, tgram://123456789:T0KENT0KENT0KENT0KEN/12345 https://hooks.example.com/other"
    settings = load_settings({**NODE, "ALERT_URLS": urls})
    assert [channel.name for channel in channels_of(settings)] == [
        "1 webhook https://hooks.example.com/…",
        "2 apprise tgram",
        "3 webhook https://hooks.example.com/…",
    ]
    assert "T0KEN" not in repr(settings) + str(settings.alert_urls)
    assert limits_of(settings) == NoticeLimits(Severity.WARNING, 5, 20)
    assert channels_of(load_settings(NODE)) == []


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        (
            {"ALERT_URLS": "SECRET"},
            "ALERT_URLS must be URLs, separated by commas: the one at place 1 is none",
        ),
        ({"ALERT_URLS": "https://a.example,http://:0/SECRET"}, "the one at place 2 is none"),
        ({"ALERT_URLS": "https://"}, "the one at place 1 is none"),
        ({"ALERT_URLS": ",".join(["https://a.example/SECRET"] * 9)}, "must not name more than 8 channels"),
        ({"ALERT_URLS": "nosuch://SECRET"}, "Apprise knows no nosuch://"),
        ({"ALERT_SEVERITY": "loud"}, "ALERT_SEVERITY must be one of info, warning, danger"),
        ({"ALERT_GROUP_S": "-1"}, "ALERT_GROUP_S must be a whole number"),
    ],
)
def test_a_bad_setting_is_named_without_what_it_holds(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=r".*") as refused:
        channels_of(load_settings({**NODE, **environ}))
    assert complaint in str(refused.value)
    assert "SECRET" not in str(refused.value)


async def alert_test(**environ: str) -> tuple[int, str, str]:
    """The command in a process of its own; the server is in this one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "alert", "test"),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_tries_every_channel_and_says_of_each_whether_it_arrived() -> None:
    async with post_office() as office:
        both = f"{office.url}/HOOK,{office.url.replace('http', 'json', 1)}/TOKEN"
        code, out, err = await alert_test(ALERT_URLS=both, SOLANA_RPC_URL="")
        assert (code, err) == (0, "")
        assert sorted(office.paths) == ["/HOOK", "/TOKEN"]
        assert "alert test`: nothing is wrong" in office.posts[0]["text"]
        office.answers = [404]
        code, out, err = await alert_test(ALERT_URLS=f"{office.url}/HOOK", SOLANA_RPC_URL="")
    assert code == 1
    assert f"1 webhook {office.url}/…: FAILED: answered 404 Not Found" in out
    assert "correct it in ALERT_URLS" in err
    assert "HOOK" not in out + err
