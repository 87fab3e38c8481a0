"""Resume offers that do not resume: fresh sessions with a reason, and HTTP 400. PROTOCOL.md §4, §5."""

import time

import wire
from harness import about, echo, eventually, equal, expect, expect_close_answered, numbers, publish, scenario
from session import JSON


def still_works(ctx, member):
    """Expects the session to resume with both counts intact."""
    received, sent = member.received, member.sent
    opened = ctx.resumed(member)
    equal((member.received, opened["received"]), (received, sent), "counts after the refusal")
    member.barrier()


@scenario
def a_wrong_token_opens_a_fresh_session(ctx):
    member = ctx.session()
    token = member.token
    member.send("echo", "1")
    member.recv()
    for wrong in ("A" * 22, "z_-9" * 16, token[:-1] + ("A" if token[-1] != "A" else "B")):
        other = ctx.session()
        other.cut_rst()
        other.token = wrong
        ctx.lost(other, "unknown")
        expect(other.token not in (wrong, token), "the fresh session has the offered token")
        other.barrier()
    member.barrier()


def other_identity(ctx, **identity):
    """Offers a session's token with another identity. Both sessions must live on."""
    member = ctx.session()
    member.send("echo", "1")
    member.recv()
    member.barrier()
    ctx.cut(member)
    thief = ctx.session()
    ctx.cut(thief)
    thief.token, thief.received = member.token, member.received
    thief.id, thief.room = identity.get("id"), identity.get("room", member.room)
    ctx.lost(thief, "identity")
    thief.barrier()
    still_works(ctx, member)
    thief.barrier()


@scenario
def a_token_with_another_id_does_not_resume(ctx):
    other_identity(ctx, id=ctx.unique("thief"))


@scenario
def a_token_with_another_room_does_not_resume(ctx):
    other_identity(ctx, room=ctx.unique("other-room"))


@scenario
def the_same_id_in_another_room_replaces_the_session(ctx):
    member = ctx.session()
    token = member.token
    ctx.cut(member)
    member.room = ctx.unique("other-room")
    ctx.lost(member, "identity")
    expect(member.token != token, "the old token again")
    late = ctx.session()
    ctx.cut(late)
    late.token = token
    ctx.lost(late, "unknown")
    member.barrier()


@scenario
def after_the_window_a_session_is_unknown(ctx):
    ctx.use("--resume-window", "1")
    member, plain_id, plain_room = ctx.session(), ctx.unique(), ctx.unique("room")
    member.send("echo", "1")
    member.recv()
    plain = ctx.plain(id=plain_id, room=plain_room)
    echo(plain, event="here", payload="1")
    publisher = ctx.plain(room=plain_room)
    plain.reset()
    ctx.suspend(plain_id)
    publish(publisher, "1")
    started = time.monotonic()
    ctx.cut(member)
    for id in (member.id, plain_id):
        eventually(lambda: ctx.server.control("POST", "/drop", id=id)[0] == 404, "the end of the window", 4.0)
    expect(time.monotonic() - started > 0.8, "the window of one second passed too early")
    ctx.lost(member, "unknown")
    equal((member.opened["received"], member.received), (0, 0), "counts of the fresh session")
    echo(ctx.plain(id=plain_id, room=plain_room), event="nothing before this", payload="1")


@scenario
def a_resume_within_the_window_starts_it_anew(ctx):
    ctx.use("--resume-window", "1")
    member = ctx.session()
    for turn in range(4):
        ctx.cut(member)
        time.sleep(0.35)  # This tests time away: four times this is more than the window.
        equal(ctx.resumed(member)["received"], turn, "received")
        member.barrier()


@scenario
def without_a_window_nothing_is_resumed(ctx):
    ctx.use("--resume-window", "0")
    member = ctx.session()
    equal(member.opened["window_ms"], 0, "window_ms")
    member.barrier()
    member.cut_rst()
    eventually(lambda: ctx.server.control("POST", "/drop", id=member.id)[0] == 404, "the end of the session")
    ctx.lost(member, "unknown")


@scenario
def malformed_resume_offers_are_refused(ctx):
    member = ctx.session()
    member.send("echo", "1")
    member.recv()
    ctx.cut(member)
    token = member.token
    good = f"rejoin.resume.{token}.1"
    offers = [
        f"rejoin.resume.{'A' * 21}.0",
        f"rejoin.resume.{'A' * 65}.0",
        f"rejoin.resume.{token[:-1]}!.1",
        f"rejoin.resume.{token[:-1]}+.1",
        f"rejoin.resume.{token[:-1]}~.1",
        f"rejoin.resume.{token}.",
        f"rejoin.resume.{token}",
        f"rejoin.resume.{token}.-1",
        f"rejoin.resume.{token}.+1",
        f"rejoin.resume.{token}.x",
        f"rejoin.resume.{token}.0x1",
        f"rejoin.resume.{token}.1.0",
        f"rejoin.resume.{token}.1e0",
        f"rejoin.resume.{token}..1",
        f"rejoin.resume.{token}.{'9' * 40}",
        "rejoin.resume.",
        "rejoin.resume",
        f"rejoin.resume..{token}.1",
        (good, good),
        (good, f"rejoin.resume.{'A' * 22}.0"),
    ]
    for offer in offers:
        with about(offer):
            ctx.refused_resume(member, offer, 400)
    still_works(ctx, member)


@scenario
def n_beyond_what_was_sent_is_refused_and_the_session_lives(ctx):
    member = ctx.session()
    for i in numbers(1, 5):
        member.send("echo", str(i))
    member.recv_values(5)
    member.barrier()
    for n in (7, 100, 18446744073709551615):
        ctx.refused_resume(member, member.offer(n), 400)
    equal(member.received, 6, "received")
    member.barrier()  # The attached socket has not noticed.
    ctx.cut(member)
    for n in (8, 1000):
        ctx.refused_resume(member, member.offer(n), 400)
    still_works(ctx, member)


@scenario
def n_below_an_earlier_ack_is_refused_and_the_session_lives(ctx):
    member = ctx.session(auto_ack=False)
    for i in numbers(1, 5):
        member.send("echo", str(i))
    member.recv_values(5)
    member.ack()
    member.barrier()
    for n in (0, 3, 4):
        ctx.refused_resume(member, member.offer(n), 400)
    ctx.cut(member)
    for n in (0, 3, 4):
        ctx.refused_resume(member, member.offer(n), 400)
    ctx.resumed(member, 5)
    equal(member.recv().event, "marker-1", "the frame after the acknowledged ones")
    ctx.cut(member)
    ctx.refused_resume(member, member.offer(4), 400)
    still_works(ctx, member)


@scenario
def a_plain_session_is_not_resumed_in_session_mode(ctx):
    id, room = ctx.unique(), ctx.unique("room")
    first = ctx.plain(id=id, room=room)
    echo(first, event="here", payload="1")
    publisher = ctx.plain(room=room)
    first.reset()
    ctx.suspend(id)
    publish(publisher, '"while away"')
    member = ctx.session(id=id, room=room)
    equal(member.opened["received"], 0, "received")
    member.barrier()
    equal(len(member.inbox), 0, "frames of the plain session")


@scenario
def a_session_is_not_resumed_in_plain_mode(ctx):
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    publish(publisher, '"while away"')
    plain = ctx.plain(id=member.id, room=member.room)
    echo(plain, event="nothing before this", payload="1")
    plain.close()
    expect_close_answered(plain, 1000)
    ctx.lost(member, "unknown")


@scenario
def an_id_alone_does_not_resume_a_session(ctx):
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    publish(publisher, '"while away"')
    second = ctx.session(id=member.id, room=member.room)
    expect(second.token != member.token, "the same token")
    expect("lost" not in second.opened, f"lost without an offer: {second.opened}")
    second.barrier()
    equal(len(second.inbox), 0, "frames of the first session")
    second.ws.close()
    expect_close_answered(second, 1000)
    ctx.lost(member, "unknown")


@scenario
def the_resume_offer_is_never_selected(ctx):
    member = ctx.session()
    ctx.cut(member)
    ws = ctx.track(
        wire.WebSocket.connect(ctx.port, f"/ws?id={member.id}&room={member.room}", protocols=(member.offer(), JSON))
    )
    equal(ws.protocol, JSON, "selected")
