"""Session mode without cuts: `$open`, echo, acknowledgements. PROTOCOL.md §3, §4."""

import time

import frames
import wire
from harness import equal, expect, numbers, scenario
from payloads import PAYLOADS
from session import JSON, path

ACK_LIMIT = 1.6  # one second by the protocol, with slack for a busy machine
PROMPT = 0.7  # clearly before the second has passed


@scenario
def open_is_the_first_frame_and_complete(ctx):
    id, room = ctx.unique(), ctx.unique("room")
    member = ctx.session(id=id, room=room)
    opened = member.opened  # the types of its members are already checked
    equal((opened["id"], opened["room"]), (id, room), "id and room")
    equal((opened["resumed"], opened["received"]), (False, 0), "resumed and received")
    equal((opened["window_ms"], opened["buffer"]), (30000, 256), "window_ms and buffer")
    equal((opened["buffer_bytes"], opened["max_message"]), (1 << 20, 1 << 16), "limits in bytes")
    expect("lost" not in opened, f"lost without a resume: {opened}")


@scenario
def open_tells_the_options(ctx):
    ctx.use("--resume-window", "1", "--send-buffer", "16", "--send-buffer-bytes", "4096", "--max-message-size", "1000")
    opened = ctx.session().opened
    equal((opened["window_ms"], opened["buffer"]), (1000, 16), "window_ms and buffer")
    equal((opened["buffer_bytes"], opened["max_message"]), (4096, 1000), "limits in bytes")


@scenario
def a_quarter_of_the_bytes_is_acknowledged_at_once(ctx):
    member = ctx.session()
    pad = "x" * 60_000
    for turn in range(1, 4):
        for i in range(5):  # more than a quarter of 1 MiB, and fewer frames than a quarter of 256
            member.send("sink", f'{{"i":{(turn - 1) * 5 + i + 1},"pad":"{pad}"}}')
        member.pump_until(lambda: member.server_acked == turn * 5, "acknowledgement of a quarter", PROMPT)


@scenario
def big_frames_do_not_wait_for_the_second_in_either_direction(ctx):
    member = ctx.session()
    payload = '"' + "x" * 40_000 + '"'
    started = time.monotonic()
    for _ in range(100):  # 4 MB each way, four times the buffer
        member.send("echo", payload)
    for _ in range(100):
        equal(len(member.recv().payload), len(payload), "echo")
    expect(time.monotonic() - started < 3 * ACK_LIMIT, f"{time.monotonic() - started:.1f} s for 4 MB")


@scenario
def an_empty_id_gets_one_and_tokens_differ(ctx):
    seen = set()
    for _ in range(20):
        ws = ctx.track(wire.WebSocket.connect(ctx.port, path(room=ctx.unique("room")), protocols=(JSON,)))
        opened = frames.decode(ws.recv_text()).value
        expect(opened["id"], f"no id: {opened}")
        seen |= {opened["id"], opened["session"]}
    equal(len(seen), 40, "different ids and tokens")


@scenario
def session_mode_echoes(ctx):
    member = ctx.session()
    member.send("hello", '{"a":1}', id="7")
    back = member.recv()
    equal((back.event, back.payload, back.id, back.number), ("hello", '{"a":1}', "7", 1), "echo")


@scenario
def session_mode_keeps_payload_text(ctx):
    member = ctx.session()
    for payload in PAYLOADS:
        member.send("bytes", payload)
        equal(member.recv().payload, payload, "payload")


@scenario
def session_mode_keeps_payload_text_in_a_replay(ctx):
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    for payload in PAYLOADS:
        publisher.send_text(frames.encode("pub", payload))
        equal(frames.decode(publisher.recv_text()).payload, payload, "broadcast")
    ctx.resumed(member)
    for payload in PAYLOADS:
        equal(member.recv().payload, payload, "replayed payload")


@scenario
def a_quarter_of_the_buffer_is_acknowledged_at_once(ctx):
    member = ctx.session()
    for turn in range(1, 4):
        for i in range(64):
            member.send("sink", f'{{"i":{(turn - 1) * 64 + i + 1}}}')
        member.pump_until(lambda: member.server_acked == turn * 64, "acknowledgement of a quarter", PROMPT)
    expect(len(member.acks) <= 4, f"{len(member.acks)} acknowledgements for three quarters")


@scenario
def a_quarter_is_at_least_one(ctx):
    ctx.use("--send-buffer", "1")
    member = ctx.session()
    equal(member.buffer, 1, "buffer")
    for i in numbers(1, 5):
        member.send("sink", f'{{"i":{i}}}')
        member.pump_until(lambda: member.server_acked == i, f"acknowledgement of {i}", PROMPT)


@scenario
def a_few_frames_are_acknowledged_within_a_second_and_only_once(ctx):
    few, most = ctx.session(), ctx.session()
    started = time.monotonic()
    for i in numbers(1, 3):
        few.send("sink", f'{{"i":{i}}}')
    for i in numbers(1, 63):
        most.send("sink", f'{{"i":{i}}}')
    few.pump_until(lambda: few.server_acked == 3, "acknowledgement of 3", ACK_LIMIT)
    most.pump_until(lambda: most.server_acked == 63, "acknowledgement of 63", started + ACK_LIMIT - time.monotonic())
    expect(len(few.acks) <= 2 and len(most.acks) <= 3, f"acknowledgements: {few.acks}, {most.acks}")
    counts = len(few.acks), len(most.acks)
    few.watch(1.2)
    most.watch(0.05)
    equal((len(few.acks), len(most.acks)), counts, "acknowledgements after nothing new")


@scenario
def received_in_open_acknowledges_and_is_not_repeated(ctx):
    member = ctx.session()
    for i in numbers(1, 5):
        member.send("sink", f'{{"i":{i}}}')
    ctx.sunk(member.id, 5)
    ctx.cut(member)
    equal(ctx.resumed(member)["received"], 5, "received")
    member.watch(1.3)
    equal(member.acks, [], "acknowledgements after $open")


@scenario
def an_idle_session_is_not_acknowledged(ctx):
    member = ctx.session()
    member.control("$ping", "1")
    member.pump_until(lambda: member.pongs, "pong")
    member.watch(1.2)
    equal(member.acks, [], "acknowledgements of nothing")


@scenario
def sink_counts_per_id_what_is_not_consecutive(ctx):
    member = ctx.session()
    for i in (1, 2, 3, 5, 6, 6):
        member.send("sink", f'{{"i":{i}}}')
    member.barrier()
    equal(ctx.server.sink(member.id), (6, 2), "received and errors")
