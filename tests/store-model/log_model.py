#!/usr/bin/env python3
"""A model of sessions that live in a store: one log, one record for each session, one fence. See docs/store.md.

Nodes die, are slow, and lose what the store sends or answers; calls arrive late, twice, or never; sockets break on one side. Each run
comes from one seed. It fails when an input has no effect, a part of one, or two; when a client misses a frame, or gets one twice or in
another order; when a node fences itself; and when in the end a client has no socket at the owner of its session.

    log_model.py FROM TO            runs these seeds: none may fail
    log_model.py FROM TO MUTANT     runs them with a mistake planted: some have to fail
    log_model.py --check            both, with all mutants, in half a minute at most
"""

import collections
import random
import sys

MUTANTS = {
    # of the fence
    "nofence": "the store does not compare epochs",
    "nodedup": "the store does not compare w",
    "halfcommit": "the count of inputs moves in one step, the entry is appended in another",
    "trust": "a node resumes from its memory, without asking the store",
    "nomoved": "a takeover appends no entry, so an idle owner does not learn of it",
    "nononce": "the store does not know a repeated attach",
    "latenonce": "an attach that comes after later ones of its node takes the session over",
    # of the socket
    "noskip": "a resume counts inputs again that memory has counted already",
    "ackearly": "an input is acknowledged before its commit",
    "ackahead": "an acknowledgement runs ahead of what its socket has brought",
    "attachment": "a touch of an earlier socket begins a window",
    # of the fold
    "nogap": "a follower does not look for gaps",
    "members": "a checkpoint forgets the memberships",
    "unacknowledged": "a checkpoint leaves out frames that the client does not have",
    "backwards": "a late checkpoint moves the record back",
    "trimpast": "trimming looks at the age alone",
}

ROOMS = ("red", "blue")
YOUNG = 8  # entries that trimming keeps, whatever checkpoints say


class Bug(Exception):
    """A promise is broken."""


class Store:
    """Each method is one step. Only checks look into it otherwise."""

    def __init__(self, mutant):
        self.mutant = mutant
        self.history = []  # the whole log, for the checks
        self.trimmed = 0
        self.records = {}
        self.followers = set()
        self.halves = []  # entries of `halfcommit` that are not appended yet

    def append(self, entry):
        self.history.append(entry)
        offset = len(self.history)
        for node in self.followers:
            node.tail.append((offset, offset - 1, entry))
        return offset

    def open(self, key, node, nonce):
        if key in self.records:
            return self.attach(key, node, None, nonce)
        offset = self.append(("open", key, 1, [("join", key, "red")]))
        checkpoint = (offset, 0, frozenset(["red"]))
        self.records[key] = dict(
            epoch=1, owner=node, nonce=nonce, w=0, received=0, checkpoint=checkpoint, attachment=1, window=False
        )
        return dict(self.records[key])

    def attach(self, key, node, mine, nonce):
        record = self.records.get(key)
        if record is None:
            return None
        own = record["owner"] is node
        if own and record["nonce"] == nonce and self.mutant != "nononce":
            return dict(record)
        if own and nonce < record["nonce"] and self.mutant not in ("nononce", "latenonce"):
            return "LATE"
        record["attachment"] += 1
        record["nonce"] = nonce
        record["window"] = False
        if own and mine == record["epoch"]:
            return dict(record)
        held = node.sessions.get(key)
        if own and node.alive and held and not held.dead and held.epoch == record["epoch"] and mine is None:
            raise Bug("a node fences itself")
        record.update(epoch=record["epoch"] + 1, owner=node, w=0)
        if self.mutant != "nomoved":
            self.append(("moved", key, record["epoch"], []))
        return dict(record)

    def commit(self, key, epoch, w, received, items):
        record = self.records.setdefault(key, dict(epoch=epoch, w=0, received=0, checkpoint=None))
        if record["epoch"] != epoch and self.mutant != "nofence":
            return "FENCED"
        if w <= record["w"] and self.mutant != "nodedup":
            return "ALREADY"
        if w != record["w"] + 1 and self.mutant not in ("nodedup", "nofence"):
            return "ORDER"
        record["w"] = w
        if received is not None:
            record["received"] = max(record["received"], received)
        entry = ("commit", key, epoch, items)
        if self.mutant == "halfcommit":
            self.halves.append(entry)
        else:
            self.append(entry)
        return "OK"

    def touch(self, key, epoch, attachment, checkpoint, window):
        record = self.records[key]
        if record["epoch"] != epoch or record["attachment"] != attachment and self.mutant != "attachment":
            return
        if checkpoint and (checkpoint[0] > record["checkpoint"][0] or self.mutant == "backwards"):
            if checkpoint[0] < record["checkpoint"][0]:
                raise Bug("a checkpoint moved back: the log before the later one may be trimmed")
            record["checkpoint"] = checkpoint
        record["window"] = record["window"] or window

    def trim(self):
        needed = [record["checkpoint"][0] for record in self.records.values() if record["checkpoint"]]
        end = len(self.history) - YOUNG
        if self.mutant != "trimpast":
            end = min([end] + needed)
        self.trimmed = max(self.trimmed, end)

    def read(self, after):
        if after < self.trimmed:
            raise Bug("the log begins later")
        return [(offset + 1, offset, self.history[offset]) for offset in range(after, len(self.history))]


def fold(key, rooms, items):
    """The frames of an entry that are for a session, and its rooms behind the entry."""
    rooms, frames = set(rooms), []
    for kind, target, *rest in items:
        if kind == "join" and target == key:
            rooms.add(rest[0])
        elif kind == "leave" and target == key:
            rooms.discard(rest[0])
        elif kind == "say" and (target == key or target in rooms and rest[1] != key):
            frames.append(rest[0])
    return frozenset(rooms), frames


class Session:
    """What a node knows of a session."""

    def __init__(self, key, record):
        self.key, self.epoch, self.attachment = key, record["epoch"], record["attachment"]
        self.handed = self.committed = record["received"]
        self.cursor, self.number, self.rooms = record["checkpoint"]
        self.acked = self.number
        self.kept, self.inbox, self.pending = [], collections.deque(), []
        self.w, self.flight, self.socket, self.sent, self.skip = 0, None, None, 0, 0
        self.dead = False

    def take(self, offset, entry):
        if offset <= self.cursor:
            return
        kind, writer, epoch, items = entry
        if kind == "moved" and writer == self.key and epoch > self.epoch:
            self.fence()
        self.rooms, frames = fold(self.key, self.rooms, items)
        for frame in frames:
            self.number += 1
            self.kept.append((self.number, frame))
        self.cursor = offset

    def fence(self):
        self.dead = True
        if self.socket:
            self.socket.up = False


class Node:
    def __init__(self, store):
        self.tail, self.position = collections.deque(), len(store.history)
        self.sessions, self.calls, self.alive = {}, collections.deque(), True
        self.w, self.flight, self.nonce = 0, None, 0
        self.asking = {}  # what attaches were asked and not answered: repeated as they were
        store.followers.add(self)


class Socket:
    def __init__(self, client, node):
        self.client, self.node, self.up, self.session = client, node, True, None
        self.to_server, self.to_client = collections.deque(), collections.deque()


class Client:
    def __init__(self, key, wish):
        self.wish = wish  # the number of frames that it sends
        self.key, self.number, self.last, self.acked, self.written = key, 0, 0, 0, 0
        self.out, self.inputs, self.got = collections.deque(), [], []
        self.socket, self.opened, self.known = None, False, False


class Run:
    def __init__(self, seed, mutant):
        self.random, self.mutant, self.store = random.Random(seed), mutant, Store(mutant)
        self.nodes = [Node(self.store) for _ in range(3)]
        self.clients = [Client(f"s{number}", self.random.choice([4, 20])) for number in range(3)]
        self.late, self.runs, self.healing = [], collections.Counter(), False

    # The store, as a node sees it: calls that may be lost, late or repeated.

    def answer(self, node):
        step, done = node.calls.popleft()
        luck = 0 if self.healing else self.random.random()
        if luck < 0.78:
            done(step())
        elif luck < 0.85:
            step()  # the answer is lost
        elif luck < 0.92:
            pass  # it does not arrive
        elif luck < 0.96:
            self.late.append(step)
        else:
            done(step())
            self.late.append(step)  # arrives twice

    def settle_half(self):
        if self.store.halves:
            entry = self.store.halves.pop(0)
            if self.healing or self.random.random() < 0.9:
                self.store.append(entry)

    def advance(self, node, everything=False):
        """Takes what the tail has brought in order, and reads the log where there is a gap."""
        while node.tail:
            offset, prev, entry = node.tail.popleft()
            if offset <= node.position:
                continue
            if prev != node.position and self.mutant != "nogap":
                for at, _, missed in self.store.read(node.position):
                    if at < offset:
                        self.spread(node, at, missed)
            self.spread(node, offset, entry)
        if everything and self.mutant != "nogap":
            for at, _, entry in self.store.read(node.position):
                self.spread(node, at, entry)

    def spread(self, node, offset, entry):
        for session in node.sessions.values():
            if not session.dead:
                session.take(offset, entry)
        node.position = offset

    # Sockets and resumes.

    def begin(self, node, key, record):
        session = Session(key, record)
        if key in node.sessions:
            node.sessions[key].fence()
        for at, _, entry in self.store.read(session.cursor):
            if at <= node.position:
                session.take(at, entry)
        node.sessions[key] = session
        return session

    def resume(self, session, socket, number):
        if number > session.number:
            self.advance(socket.node, everything=True)
        if number > session.number or session.dead:
            return  # what the client has comes from the log: it dials again
        session.acked = max(session.acked, number)
        session.kept = [frame for frame in session.kept if frame[0] > number]
        if (session.kept[0][0] - 1 if session.kept else session.number) != number:
            raise Bug("frames are missing for a replay")
        if session.socket:
            session.socket.up = False
        session.socket, socket.session, session.sent = socket, session, number
        session.skip = session.handed - session.committed if self.mutant != "noskip" else 0
        socket.to_client.append(("open", session.committed))

    def dial(self, client, is_stray=False):
        """The client dials. A stray dial is one that it has given up: the node does not know."""
        nodes = [node for node in self.nodes if node.alive]
        if not nodes:
            return
        node = self.random.choice(nodes)
        if not is_stray and client.socket and client.socket.node.alive and self.random.random() < 0.5:
            node = client.socket.node
        socket = Socket(client, node)
        if is_stray:
            socket.up = False
        else:
            if client.socket:
                client.socket.up = False
            client.socket, client.opened = socket, False
        key, number, store = client.key, client.number, self.store
        held = node.sessions.get(key)
        if held and held.dead:
            held = None
        if held and client.known and self.mutant == "trust":
            self.resume(held, socket, number)
            return
        if key not in node.asking:
            node.nonce += 1
            node.asking[key] = (held.epoch if held else None, node.nonce)
        mine, nonce = node.asking[key]

        def done(record):
            if record is None or record == "LATE" or not node.alive:
                return
            if node.asking.get(key) != (mine, nonce):
                return  # an answer serves one socket: another one asks again, and has an attachment of its own
            del node.asking[key]
            now = node.sessions.get(key)
            if now and not now.dead and now.epoch == record["epoch"]:
                now.attachment = max(now.attachment, record["attachment"])
                session = now
            elif now and now.epoch > record["epoch"]:
                return
            else:
                session = self.begin(node, key, record)
            if socket.up:
                self.resume(session, socket, number)

        if client.known or held:
            node.calls.append((lambda: store.attach(key, node, mine, nonce), done))
        else:
            node.calls.append((lambda: store.open(key, node, nonce), done))

    # The steps of clients.

    def say(self, client):
        if len(client.inputs) < client.wish and not self.healing:
            client.last += 1
            frame = (client.key, client.last)
            client.out.append((client.last, frame))
            client.inputs.append(frame)

    def look(self, client):
        socket = client.socket
        lost = socket is None or not socket.up or not socket.node.alive
        if lost or not client.opened and self.random.random() < 0.05:
            self.dial(client)

    def write(self, client):
        socket = client.socket
        if socket and socket.up and client.opened:
            for number, frame in client.out:
                if number > client.written:
                    socket.to_server.append(("data", frame))
                    client.written = number
                    return
            socket.to_server.append(("ack", client.number))

    def receive(self, client):
        socket = client.socket
        if not (socket and socket.up and socket.to_client):
            return
        kind, *rest = socket.to_client.popleft()
        if kind == "data":
            client.number += 1
            if rest[0] != client.number:
                raise Bug("frames have other numbers")
            client.got.append(rest[1])
            return
        if kind == "open":
            if rest[0] < client.acked:
                raise Bug("the count of inputs went back")
            client.known = client.opened = True
            client.written = rest[0]
        client.acked = max(client.acked, rest[0])
        while client.out and client.out[0][0] <= client.acked:
            client.out.popleft()

    # The steps of nodes.

    def read_sockets(self, node):
        for client in self.clients:
            socket = client.socket
            session = socket.session if socket and socket.node is node else None
            if session is None or session.socket is not socket or not socket.up or not socket.to_server:
                continue
            kind, value = socket.to_server.popleft()
            if kind == "ack":
                session.acked = max(session.acked, value)
                session.kept = [frame for frame in session.kept if frame[0] > session.acked]
            elif session.skip:
                session.skip -= 1
            else:
                session.handed += 1
                session.inbox.append((session.handed, value))

    def handle(self, node):
        """A handler runs: it speaks to rooms and sessions, joins and leaves."""
        for session in node.sessions.values():
            if session.inbox and not session.dead:
                number, frame = session.inbox.popleft()
                self.runs[frame] += 1
                run, parts, items = self.random.randrange(10**9), self.random.randint(1, 3), []
                for part in range(parts):
                    if self.random.random() < 0.3:
                        items.append((self.random.choice(["join", "leave"]), session.key, self.random.choice(ROOMS)))
                    target = self.random.choice([*ROOMS, session.key, "s0"])
                    excepted = self.random.choice([None, session.key])
                    items.append(("say", target, (frame, run, part, parts), excepted))
                session.pending.append((number, items))
                if self.mutant == "ackearly":
                    session.committed = number

    def commit(self, node):
        for session in list(node.sessions.values()):
            if session.dead:
                continue
            if session.flight is None and session.pending:
                size = self.random.choice([1, 2, 16])
                batch, session.pending = session.pending[:size], session.pending[size:]
                session.w += 1
                session.flight = (session.w, batch[-1][0], [item for _, items in batch for item in items])
            if session.flight:
                self.send_commit(node, session)
        if node.flight is None and self.random.random() < 0.2 and not self.healing:
            node.w += 1
            frame = (("node", id(node), node.w), 0, 0, 1)
            node.flight = (node.w, [("say", self.random.choice(ROOMS), frame, None)])
        if node.flight:
            w, items = node.flight

            def done(answer):
                if node.flight and node.flight[0] == w and answer in ("OK", "ALREADY"):
                    node.flight = None

            node.calls.append((lambda: self.store.commit(node, 1, w, None, items), done))

    def send_commit(self, node, session):
        w, received, items = session.flight

        def done(answer):
            if session.flight is None or session.flight[0] != w:
                return
            if answer in ("OK", "ALREADY"):
                session.flight = None
                session.committed = max(session.committed, received)
            elif answer == "FENCED":
                session.fence()

        node.calls.append((lambda: self.store.commit(session.key, session.epoch, w, received, items), done))

    def write_sockets(self, node):
        for session in node.sessions.values():
            socket = session.socket
            if session.dead or socket is None:
                continue
            if not socket.up:
                # The socket is lost: the window begins.
                session.socket = None
                self.send_touch(node, session, None, True)
                continue
            waiting = [frame for frame in session.kept if frame[0] > session.sent]
            if waiting:
                session.sent = waiting[0][0]
                socket.to_client.append(("data", *waiting[0]))
                continue
            brought = session.handed - session.skip if self.mutant != "ackahead" else session.committed
            socket.to_client.append(("ack", min(session.committed, brought)))
            if session.acked > 0 and self.random.random() < 0.1:
                if session.acked == session.number or self.mutant == "unacknowledged":
                    rooms = session.rooms if self.mutant != "members" else frozenset(["red"])
                    self.send_touch(node, session, (session.cursor, session.number, rooms), False)

    def send_touch(self, node, session, checkpoint, window):
        key, epoch, attachment = session.key, session.epoch, session.attachment

        def step():
            self.store.touch(key, epoch, attachment, checkpoint, window)

        if self.random.random() < 0.3 and not self.healing:
            self.late.append(step)  # nobody waits for it, so others pass it
        else:
            node.calls.append((step, lambda _: None))

    # Faults.

    def fault(self):
        luck = self.random.random()
        if luck < 0.2:
            node = self.random.choice(self.nodes)
            if node.alive:  # what it has sent may still arrive
                node.alive = False
                self.store.followers.discard(node)
                self.late.extend(step for step, _ in list(node.calls)[: self.random.randint(0, 2)])
        elif luck < 0.4:
            number = self.random.randrange(3)
            if not self.nodes[number].alive:
                self.nodes[number] = Node(self.store)
        elif luck < 0.6:
            if self.late:
                self.late.pop(self.random.randrange(len(self.late)))()
        elif luck < 0.8:
            client = self.random.choice(self.clients)
            if client.socket and self.random.random() < 0.5:
                client.socket.up = False
            elif self.random.random() < 0.5:
                self.dial(client)  # the earlier socket may be half open
            elif client.known:
                self.dial(client, is_stray=True)
        else:
            node = self.random.choice(self.nodes)
            if node.tail:
                node.tail.popleft()

    def step(self):
        if not self.healing and self.random.random() < 0.15:
            self.fault()
            return
        alive = [node for node in self.nodes if node.alive]
        if not alive:
            return
        node, client = self.random.choice(alive), self.random.choice(self.clients)
        kind = self.random.randrange(11)
        if kind < 3:
            (self.say, self.look, self.write)[kind](client)
        elif kind < 7:
            (self.read_sockets, self.handle, self.commit, self.write_sockets)[kind - 3](node)
        elif kind == 7:
            count = len(node.calls) if self.healing else min(len(node.calls), self.random.randint(1, 8))
            for _ in range(count):
                self.answer(node)
        elif kind == 8:
            self.advance(node, everything=self.random.random() < 0.2)
        elif kind == 9:
            self.store.trim()
        else:
            self.settle_half()
        for client in self.clients:
            if self.random.random() < (0.5 if self.healing else 0.1):
                self.receive(client)

    def run(self, steps=1500, rounds=25):
        for _ in range(steps):
            self.step()
        self.healing = True
        for number, node in enumerate(self.nodes):
            if not node.alive:
                self.nodes[number] = Node(self.store)
        for late in self.late:
            late()
        for left in reversed(range(rounds)):
            for _ in range(1200):
                self.step()
            try:
                self.check()
                return
            except Bug:
                if not left:
                    raise  # what is wrong does not go away by waiting

    def check(self):
        seen, parts = collections.Counter(), collections.defaultdict(set)
        for _, _, _, items in self.store.history:
            for item in items:
                if item[0] == "say":
                    seen[item[2]] += 1
                    parts[item[2][0]].add(item[2])
        if any(count > 1 for count in seen.values()):
            raise Bug("an output is in the log twice")
        for client in self.clients:
            for frame in client.inputs:
                found = parts.get(frame)
                if not found:
                    raise Bug("an input is lost")
                if len({run for _, run, _, _ in found}) > 1 or len(found) != next(iter(found))[3]:
                    raise Bug("outputs are of two runs, or not whole")
            if not client.known:
                continue
            record, socket = self.store.records[client.key], client.socket
            if not (socket and socket.up and socket.session and socket.session.epoch == record["epoch"]):
                raise Bug("a client has no socket at the owner")
            if record["window"]:
                raise Bug("a window ends under a socket")
            wanted, rooms, is_open = [], frozenset(), False
            for kind, writer, _, items in self.store.history:
                is_open = is_open or kind == "open" and writer == client.key
                if is_open:
                    rooms, frames = fold(client.key, rooms, items)
                    wanted += frames
            if client.got != wanted:
                raise Bug("a client missed a frame, or got one twice")


def trial(seeds, mutant=None, until_found=False):
    """The bugs that were found. Prints what has happened."""
    bugs, runs, again, entries, frames = collections.Counter(), 0, 0, 0, 0
    for seed in seeds:
        run = Run(seed, mutant)
        try:
            run.run()
        except Bug as bug:
            bugs[str(bug)] += 1
        runs += 1
        again += sum(count > 1 for count in run.runs.values())
        entries += len(run.store.history)
        frames += sum(len(client.got) for client in run.clients)
        if bugs and until_found:
            break
    said = f"{runs} seeds, {entries} entries, {frames} frames delivered, {again} inputs ran more than once"
    print(f"{mutant or 'as designed'}: {said}; bugs: {dict(bugs)}", flush=True)
    return bugs


def main(arguments):
    if arguments == ["--check"]:
        if trial(range(12)):
            sys.exit("the design is broken")
        for mutant in MUTANTS:
            if not trial(range(600), mutant, until_found=True):
                sys.exit(f"no seed finds the mutant {mutant}: {MUTANTS[mutant]}")
        return
    mutant = arguments[2] if len(arguments) > 2 else None
    if mutant and mutant not in MUTANTS:
        sys.exit(f"no such mutant: {mutant} (expected one of {', '.join(MUTANTS)})")
    bugs = trial(range(int(arguments[0]), int(arguments[1])), mutant)
    sys.exit(bool(bugs) != bool(mutant))


main(sys.argv[1:])
