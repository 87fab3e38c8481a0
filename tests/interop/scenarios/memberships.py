"""Rooms as memberships, audiences, users. CONTRACT: added with rooms."""

import json

from harness import equal, eventually, expect, scenario


def ask(member, event, /, **payload):
    """Sends a question and returns its answer; frames that come before it stay in the inbox, in order."""
    id = f"q-{member.sent + 1}"
    member.send(event, json.dumps(payload), id=id)
    is_answer = lambda frame: frame.re == id  # noqa: E731
    member.pump_until(lambda: any(map(is_answer, member.inbox)), f"answer to {event}")
    answer = next(filter(is_answer, member.inbox))
    member.inbox.remove(answer)
    return answer


def ok(member, event, /, **payload):
    answer = ask(member, event, **payload)
    equal(answer.event, "ok", f"answer to {event} {payload}: {answer.payload}")
    return answer.value


def refused(member, code, event, /, **payload):
    answer = ask(member, event, **payload)
    equal((answer.event, answer.value["code"]), ("error", code), f"answer to {event} {payload}")
    expect(answer.value["message"], "an error has a message")


def said(member, count):
    """The payloads of the next frames."""
    return [member.recv().value for _ in range(count)]


@scenario
def joined_rooms_are_listed_behind_the_home(ctx):
    home, [a, b, c] = ctx.unique("room"), [ctx.unique("room") for _ in range(3)]
    member = ctx.session(room=home, rooms=f"{b},{a}")
    equal(ok(member, "join", room=c)["rooms"], [home, b, a, c], "rooms")
    equal(ok(member, "join", room=c)["rooms"], [home, b, a, c], "rooms after joining twice")
    equal(ok(member, "leave", room=b)["rooms"], [home, a, c], "rooms after leaving one")
    equal(ok(member, "leave", room=b)["rooms"], [home, a, c], "rooms after leaving twice")
    refused(member, "home_room", "leave", room=home)
    refused(member, "bad_request", "join", room="")
    refused(member, "bad_request", "join", place=c)


@scenario
def memberships_survive_cuts(ctx):
    side = ctx.unique("room")
    member, speaker = ctx.session(), ctx.session()
    ok(member, "join", room=side)
    ctx.cut(member)
    equal(ok(speaker, "say", to={"room": side}, event="news", payload=1), {"queued": 1}, "while it is away")
    ctx.resumed(member)
    equal(ok(speaker, "say", to={"room": side}, event="news", payload=2), {"queued": 1}, "when it is back")
    equal(said(member, 2), [1, 2], "news")
    equal(ok(member, "leave", room=side)["rooms"], [member.room], "rooms")
    equal(ok(speaker, "say", to={"room": side}, event="news", payload=3), {"queued": 0}, "when it has left")


@scenario
def an_audience_gets_each_frame_once(ctx):
    a, b, user = ctx.unique("room"), ctx.unique("room"), ctx.unique("user")
    both = ctx.session(room=a, rooms=b, user=user)
    one = ctx.session(room=a)
    other = ctx.session(room=b, user=user)
    outside = ctx.session()
    cases = [
        ({"room": a}, [both, one]),
        ({"rooms": [a, b]}, [both, one, other]),
        ({"rooms": []}, []),
        ({"user": user}, [both, other]),
        ({"user": "nobody"}, []),
        ({"id": outside.id}, [outside]),
        ({"id": "nobody"}, []),
    ]
    for index, (to, receivers) in enumerate(cases):
        for except_me in (False, True):
            rest = [member for member in receivers if not except_me or member is not both]
            payload = [index, except_me]
            answer = ok(both, "say", to=to, except_me=except_me, event="x", payload=payload)
            equal(answer, {"queued": len(rest)}, f"to {to}, except_me {except_me}")
            for member in rest:
                frame = member.recv()
                equal((frame.event, frame.value), ("x", payload), f"to {to}")
    for member in (both, one, other, outside):
        expect(member.available(0.1) is None, "a frame too many")
    refused(both, "bad_request", "say", to={"planet": "mars"}, event="x")


@scenario
def everyone_hears_what_is_for_all(ctx):
    ctx.use("--send-buffer", "255", own=True)
    members = [ctx.session(), ctx.session(rooms=ctx.unique("room")), ctx.session()]
    equal(ok(members[0], "say", to={"all": True}, event="x", payload=1), {"queued": 3}, "everyone")
    equal(ok(members[0], "say", to={"all": True}, except_me=True, event="x", payload=2), {"queued": 2}, "others")
    equal([said(members[0], 1), said(members[1], 2), said(members[2], 2)], [[1], [1, 2], [1, 2]], "frames")


@scenario
def one_speaker_is_heard_in_one_order_across_rooms(ctx):
    a, b = ctx.unique("room"), ctx.unique("room")
    listener, speaker = ctx.session(room=a, rooms=b), ctx.session()
    audiences = [{"room": a}, {"room": b}, {"rooms": [b, a]}, {"id": listener.id}]
    for i in range(200):
        speaker.send("say", json.dumps({"to": audiences[i % 4], "event": "x", "payload": i}))
        if i % 20 == 19:
            speaker.pump_until(lambda: len(speaker.inbox) == i + 1, "answers")
    equal(said(listener, 200), list(range(200)), "order")


@scenario
def who_lists_members_with_user_and_state(ctx):
    side, user = ctx.unique("room"), ctx.unique("user")
    here, away = ctx.session(), ctx.session(rooms=side, user=user)
    ok(here, "join", room=side)
    ctx.cut(away)
    members = {member["id"]: member for member in ok(here, "who", room=side)["members"]}
    expected = [
        {"id": here.id, "user": "", "state": "attached"},
        {"id": away.id, "user": user, "state": "suspended"},
    ]
    equal(members, {member["id"]: member for member in expected}, "members")
    equal(ok(here, "who", room="nowhere"), {"members": []}, "an unknown room")


@scenario
def suspended_members_are_listed_until_their_window_ends(ctx):
    ctx.use("--resume-window", "1")
    side = ctx.unique("room")
    here, away, back = ctx.session(), ctx.session(rooms=side), ctx.session(rooms=side)
    states = lambda: {member["id"]: member["state"] for member in ok(here, "who", room=side)["members"]}  # noqa: E731
    ctx.cut(away)
    ctx.cut(back)
    equal(states(), {away.id: "suspended", back.id: "suspended"}, "while both are away")
    ctx.resumed(back)
    equal(states(), {away.id: "suspended", back.id: "attached"}, "when one is back")
    eventually(lambda: states() == {back.id: "attached"}, "the other one has left")


@scenario
def kicking_a_user_ends_all_connections_and_memberships(ctx):
    server = ctx.use("--send-buffer", "254", own=True)
    user = ctx.unique("user")
    members = [ctx.session(rooms="a,b", user=user) for _ in range(2)]
    ctx.session()
    stats = server.get("/stats")
    equal((stats["users"], stats["memberships"], stats["rooms"]), (1, 7, 5), "users, memberships, rooms")
    server.post("/kick", user=user)
    for member in members:
        equal(member.recv_close(), (1000, "kicked"), "close")
    eventually(lambda: server.get("/stats")["memberships"] == 1, "one membership left")
    equal(server.get("/stats")["users"], 0, "users")
    status, answer = server.control("POST", "/kick", user=user)
    equal((status, answer["ok"]), (404, False), "an unknown user")


@scenario
def another_user_does_not_resume_the_session(ctx):
    member = ctx.session(user="ada")
    ctx.cut(member)
    member.query = {"user": "eve"}
    ctx.lost(member, "identity")
