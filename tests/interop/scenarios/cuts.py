"""Thousands of frames over hundreds of cuts: nothing lost, repeated or out of order. PROTOCOL.md §6."""

import json

import wire
from harness import Failed, equal, expect, scenario
from session import JSON, ClosedByServer
from scenarios.resume import start_stream

# The maximum of outstanding echoes. A server reads on past frames that it cannot handle yet, but only up to 64 (§4).
# A client further ahead could keep its own acknowledgements from being read.
AHEAD = 60

CUTS = ("rst", "fin", "half", "takeover", "drop", "abandoned dial")


class Storm:
    """Sends `total` frames of one event, receives `incoming` items, and repeatedly cuts the socket meanwhile."""

    def __init__(self, ctx, member, event, total, incoming, burst=20, rcvbuf=None):
        self.ctx, self.member, self.event = ctx, member, event
        self.total, self.incoming, self.burst, self.rcvbuf = total, incoming, burst, rcvbuf
        self.base = member.sent
        self.got = 0
        self.cuts = {name: 0 for name in CUTS}
        self.old = []

    def run(self):
        while not self.done():
            try:
                self.work()
            except wire.ConnectionLost:
                pass
            except ClosedByServer as closed:
                self.check_taken_over(closed)
            if not self.done():
                self.cut(self.ctx.rng.choice(CUTS))
                self.resume()
        self.check_old_sockets()

    def done(self):
        return self.sent() == self.total and self.got == self.incoming

    def sent(self):
        return self.member.sent - self.base

    def may_send(self):
        return self.sent() < self.total and (self.event == "sink" or self.sent() - self.got < AHEAD)

    def payload(self):
        pad = "x" * self.ctx.rng.choice((0, 10, 200, 2000))
        return json.dumps({"i": self.sent() + 1, "pad": pad})

    def work(self):
        """The life of one socket: sends and receives frames in bursts of random length."""
        rng = self.ctx.rng
        for _ in range(rng.randint(1, 3)):
            for _ in range(rng.randint(0, self.burst // 2)):
                if self.may_send():
                    self.member.send(self.event, self.payload())
            for _ in range(rng.randint(0, self.burst // 2)):
                frame = self.member.available(rng.choice((0, 0.001, 0.02)))
                if frame is None:
                    break
                self.take(frame)

    def take(self, frame):
        self.got += 1
        equal((frame.event, frame.value["i"]), (self.expected_event(), self.got), "next frame")

    def expected_event(self):
        return "item" if self.event == "sink" else self.event

    def cut(self, kind):
        member = self.member
        self.cuts[kind] += 1
        if kind == "half" and self.may_send() and len(member.kept) < member.buffer:
            member.cut_half(self.ctx.rng.random(), self.event, self.payload())
        elif kind == "takeover":
            self.old.append(self.ctx.track(member.abandon_socket()))
        elif kind == "drop":
            status, answer = self.ctx.server.control("POST", "/drop", id=member.id)
            expect(status in (200, 409), f"/drop: {status} {answer}")
        elif kind == "abandoned dial":
            # A resume whose $open the client never saw.
            member.dial((JSON, member.offer())).reset()
        elif kind == "fin":
            member.cut_fin()
        else:
            member.cut_rst()

    def resume(self):
        """Resumes. An abandoned dial may reach the session later and take it over, so dial again in that case."""
        for _ in range(10):
            try:
                self.ctx.resumed(self.member, rcvbuf=self.rcvbuf)
                return
            except (wire.ConnectionLost, wire.BadServerFrame) as error:
                expect(self.cuts["abandoned dial"], f"resume: {error}")
        raise Failed("ten resumes in a row were cut")

    def check_taken_over(self, closed):
        expect(closed.code == 4000 and self.cuts["abandoned dial"], str(closed))

    def check_old_sockets(self):
        for old in self.old:
            try:
                equal(old.recv_close(2.0), (4000, "taken over"), "close of an old socket")
            except wire.ConnectionLost:
                pass  # The server had unread data from us, so the socket ended with a reset.

    def check_cuts(self, least):
        count = sum(self.cuts.values())
        expect(count >= least, f"only {count} cuts")


@scenario
def three_thousand_frames_each_way_survive_hundreds_of_cuts(ctx):
    member = ctx.session()
    start_stream(member, 3000, size=100)
    storm = Storm(ctx, member, "sink", total=3000, incoming=3000)
    storm.run()
    member.barrier()
    equal(len(member.inbox), 0, "frames after the last one")
    equal(ctx.server.sink(member.id), (3000, 0), "sink count and errors")
    equal(member.gaps, [], "gaps")
    storm.check_cuts(150)


@scenario
def two_thousand_echoes_survive_hundreds_of_cuts(ctx):
    member = ctx.session()
    storm = Storm(ctx, member, "echo", total=2000, incoming=2000)
    storm.run()
    member.barrier()
    equal(len(member.inbox), 0, "frames after the last one")
    equal(member.gaps, [], "gaps")
    storm.check_cuts(100)


@scenario
def frames_survive_cuts_with_a_small_buffer(ctx):
    ctx.use("--send-buffer", "16")
    member = ctx.session()
    start_stream(member, 1000, size=50)
    storm = Storm(ctx, member, "sink", total=1000, incoming=1000, burst=12)
    storm.run()
    member.barrier()
    equal(ctx.server.sink(member.id), (1000, 0), "sink count and errors")
    equal(member.gaps, [], "gaps")
    storm.check_cuts(50)


@scenario
def big_frames_survive_cuts_of_a_narrow_socket(ctx):
    member = ctx.session(rcvbuf=4096)
    start_stream(member, 400, size=8000)
    storm = Storm(ctx, member, "sink", total=400, incoming=400, burst=12, rcvbuf=4096)
    storm.run()
    member.barrier()
    equal(ctx.server.sink(member.id), (400, 0), "sink count and errors")
    equal(member.gaps, [], "gaps")
    storm.check_cuts(20)


@scenario
def a_cut_at_every_byte_of_a_frame_loses_nothing(ctx):
    member = ctx.session()
    length = len(wire.encode_frame(wire.TEXT, b'{"event":"sink","payload":{"i": 1}}'))
    for i in range(1, length):
        member.cut_half(i / length, "sink", json.dumps({"i": i}))
        ctx.resumed(member)
    member.barrier()
    equal(ctx.server.sink(member.id), (length - 1, 0), "sink count and errors")
