"""What comes through `node.feed`, and what the host learns of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import unittest

from agent import Agent
from feeder import Fed, fed

SCHEMA = {"schema": ["id", "x"]}
END = {"end": None}


def rows(count: int, **more: int) -> dict:
    return {"data": {"rows": count, **more}}


class Records(unittest.TestCase):
    def test_batches_come_in_order_and_the_end_is_answered(self):
        script = """
            for batch in feed:
                print(batch.sequence, len(batch), batch.numpy("id").tolist())
            print(next(feed, "over"), feed.next(), feed.schema)
        """
        lines, report, _ = fed(script, SCHEMA, rows(5, batch=2), END)
        self.assertEqual(lines[:3], ["1 2 [0, 1]", "2 2 [2, 3]", "3 1 [4]"])
        self.assertEqual(lines[3], "over None {'id': 'Int64', 'x': 'Float32'}")
        self.assertEqual((report["came"], report["end"], report["code"]), (["end"], 3, 0))

    def test_more_than_the_ring_holds_goes_through_it(self):
        script = """
            total = sum(int(batch.numpy("id").sum()) for batch in feed)
            print(total, feed.metrics()["rows"], feed.metrics()["held"])
        """
        lines, report, _ = fed(script, SCHEMA, rows(100_000, batch=100), END)
        self.assertEqual(lines, [f"{sum(range(100_000))} 100000 []"])
        self.assertEqual(report["end"], report["sent"][-1])

    def test_a_batch_in_parts_is_joined_although_the_ring_holds_less(self):
        script = """
            for batch in feed:
                print(batch.sequence, len(batch), batch.padding, batch.numpy("id").sum(), batch.numpy("name")[-2:].tolist())
                print(batch.numpy("city")[:3].tolist(), feed.metrics()["held"], shared(batch.numpy("id").ctypes.data))
        """
        schema = {"schema": ["id", "name", "city"]}
        lines, report, _ = fed(script, schema, rows(20_000, part=100), rows(10, part=4, padding=3), END)
        self.assertEqual(lines[0], f"200 20000 0 {sum(range(20_000))} ['name 19998', None]")
        self.assertEqual(lines[1], "['Trier', 'Kiel', 'Trier'] [] False")
        self.assertEqual(lines[2], f"203 10 3 {sum(range(20_000, 20_010))} ['name 20008', 'name 20009']")
        self.assertEqual(report["end"], 203)

    def test_a_record_that_only_fills_up_counts_its_rows(self):
        lines, _, _ = fed("print([batch.padding for batch in feed])", SCHEMA, rows(8, batch=4), rows(4, padding=4), END)
        self.assertEqual(lines, ["[0, 0, 4]"])

    def test_the_schema_may_change_between_batches(self):
        script = """
            print(feed.schema)
            for batch in feed:
                print(dict(batch.columns), feed.schema == dict(batch.columns))
        """
        lines, _, _ = fed(script, {"schema": ["id"]}, rows(3), {"schema": ["wide", "name"]}, rows(2), END)
        self.assertEqual(lines, ["{'id': 'Int64'}", "{'id': 'Int64'} True", "{'wide': 'Float64', 'name': 'Utf8'} True"])

    def test_an_input_without_anything_ends(self):
        lines, report, _ = fed("print(feed.schema, list(feed), feed.watermark, list(feed.passes()))", END)
        self.assertEqual(lines, ["{} [] None []"])
        self.assertEqual((report["came"], report["end"]), (["end"], 0))

    def test_watermarks_are_kept(self):
        script = """
            for batch in feed:
                print(feed.watermark)
            print(feed.watermark)
        """
        marks = [{"watermark": 1_500_000}, {"watermark": 2**63 - 1}]
        lines, _, _ = fed(script, SCHEMA, rows(1), marks[0], rows(1), marks[1], END)
        self.assertEqual(lines, ["None", "1970-01-01 00:00:01.500000+00:00", "9999-12-31 23:59:59.999999+00:00"])

    def test_an_error_of_the_input_is_raised_at_each_call(self):
        script = """
            for attempt in range(2):
                try:
                    print(len(list(feed)))
                except RuntimeError as error:
                    print(error)
        """
        lines, report, _ = fed(script, SCHEMA, rows(3), {"error": "the file `x.csv` is gone"})
        self.assertEqual(lines, ["the file `x.csv` is gone"] * 2)
        self.assertEqual(report["came"], [])

    def test_counts(self):
        script = """
            feed.next()
            threading.Timer(0.3, (folder / "go").touch).start()
            list(feed)
            metrics = feed.metrics()
            print(metrics["batches"], metrics["rows"], metrics["bytes"], 0.2 < metrics["waited"] < 20)
        """
        lines, _, _ = fed(script, {"schema": ["id"]}, rows(6, batch=3), {"wait_for_file": "go"}, END)
        self.assertEqual(lines, ["2 6 48 True"])


class Passes(unittest.TestCase):
    STEPS = [SCHEMA, rows(4, batch=2), {"pass_end": 0}, {"pass_end": 1}, rows(4, batch=2, **{"pass": 2}), {"pass_end": 2}, END]

    def test_each_pass_ends_by_itself(self):
        script = """
            for one in feed.passes():
                print(one.number, [batch.numpy("id").tolist() for batch in one], list(one))
        """
        lines, report, _ = fed(script, *self.STEPS)
        self.assertEqual(lines, ["0 [[0, 1], [2, 3]] []", "2 [[4, 5], [6, 7]] []"])
        self.assertEqual(report["came"], ["end"])

    def test_what_is_left_of_a_pass_is_passed_over(self):
        script = """
            for one in feed.passes():
                print(one, len(next(iter(one))))
        """
        lines, _, _ = fed(script, *self.STEPS)
        self.assertEqual(lines, ["<pass 0> 2", "<pass 2> 2"])

    def test_plain_iteration_goes_over_the_ends_of_passes(self):
        lines, _, _ = fed("print([batch.pass_number for batch in feed])", *self.STEPS)
        self.assertEqual(lines, ["[0, 0, 2, 2]"])

    def test_an_input_without_passes_is_one(self):
        lines, _, _ = fed("print([len(list(one)) for one in feed.passes()])", SCHEMA, rows(4, batch=2), END)
        self.assertEqual(lines, ["[2]"])


class Barriers(unittest.TestCase):
    def test_an_echo_needs_no_later_record(self):
        steps = [SCHEMA, rows(1), {"barrier": 7}, {"wait_for_barrier": 7}, {"barrier": 8}, {"wait_for_barrier": 8}, rows(1), END]
        lines, report, _ = fed("print(len(list(feed)))", *steps)
        self.assertEqual(lines, ["2"])
        self.assertEqual((report["barriers"], report["came"]), ([7, 8], ["barrier", "barrier", "end"]))

    def test_nothing_is_said_while_the_script_works(self):
        script = """
            batch = feed.next()
            time.sleep(0.5)  # The work.
            (folder / "worked").touch()
            print(feed.next())
        """
        with Fed(script, SCHEMA, rows(1), {"barrier": 1}, {"wait_for_barrier": 1}, END) as node:
            report = node.report()
            self.assertEqual(node.stdout, "None\n")
            self.assertTrue((node.folder / "worked").exists())
            self.assertEqual(report["came"], ["barrier", "end"])

    def test_an_echo_comes_after_the_answers_of_all_before_it(self):
        script = """
            first, second, third = feed.next(), feed.next(), feed.next()
            node.emit(third.numpy("x"), of=third)
            node.emit(first.numpy("x"), of=first)
            node.emit(second.numpy("x"), of=second)
            print(feed.next())
        """
        steps = [SCHEMA, rows(1), rows(1), {"barrier": 1}, rows(1), {"wait_for_barrier": 1}, END]
        lines, report, _ = fed(script, *steps, results=["score"], emitted=True)
        self.assertEqual(lines, ["None"])
        self.assertEqual(report["came"], ["schema", "data", "data", "data", "barrier", "end"])
        self.assertEqual([answer["of"] for answer in report["answers"]], [4, 1, 2])


class Ends(unittest.TestCase):
    def test_close_ends_the_node_before_the_input(self):
        script = """
            feed.next()
            feed.close()
            feed.close()
            print(feed.next(), list(feed), feed.schema)
        """
        lines, report, _ = fed(script, SCHEMA, rows(9, batch=3))
        self.assertEqual(lines, ["None [] {'id': 'Int64', 'x': 'Float32'}"])
        self.assertEqual((report["came"], report["end"]), (["end"], 1))

    def test_an_exception_of_the_script_is_told(self):
        _, report, _ = fed("feed.next()\nraise ValueError('no loss')", SCHEMA, rows(9, batch=3))
        self.assertIn("ValueError: no loss", report["error"])
        self.assertEqual((report["came"], report["code"]), (["error"], 1))

    def test_an_exception_waits_for_nobody(self):
        script = """
            for _ in range(30):
                node.emit(feed.next().numpy("x"))
            print("never")
        """
        # The ring is full of answers that nobody takes.
        steps = [SCHEMA, rows(60_000, batch=1000), {"hold_output": 60_000}]
        with Fed(script, *steps, results=["score"]) as node:
            node.expect("attached")
            os.kill(node.pid, signal.SIGINT)
            self.assertEqual(node.expect("exception")[1], [b"KeyboardInterrupt"])
            node.process.kill()

    def test_a_script_that_stops_reading_ends_without_a_word(self):
        _, report, _ = fed("feed.next()", SCHEMA, rows(9, batch=3), END)
        self.assertEqual((report["came"], report["end"], report["code"]), ([], None, 0))


class Waits(unittest.TestCase):
    def test_a_timeout_is_one_and_nothing_is_lost(self):
        script = """
            try:
                feed.next(timeout=0.1)
            except TimeoutError as error:
                print(error)
            (folder / "go").touch()
            print(len(feed.next(timeout=20)), feed.next())
        """
        with Fed(script, {"wait_for_file": "go"}, SCHEMA, rows(1), END) as node:
            self.assertEqual(node.report()["came"], ["end"])
            self.assertEqual(node.stdout.splitlines(), ["nothing came in time", "1 None"])

    def test_an_interrupt_ends_a_wait_at_once(self):
        script = """
            try:
                print("waits", flush=True)
                feed.next()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            print(len(feed.next()))
        """
        # An interrupt that is only heard when rows come takes them along: then there are none behind it.
        with Fed(script, SCHEMA, {"pause": 2000}, rows(4), END) as node:
            self.assertEqual(node.line(), "waits")
            time.sleep(0.3)  # It sleeps for rows by then, or is about to: both have to hear it.
            os.kill(node.pid, signal.SIGINT)
            self.assertEqual(node.line(), "interrupted")
            node.report()
            self.assertEqual(node.stdout, "4\n")

    def test_an_interrupt_ends_a_wait_of_the_main_thread_beside_another(self):
        script = """
            def read():
                print(len(list(feed)), flush=True)
            reading = threading.Thread(target=read)
            reading.start()
            try:
                print("waits", flush=True)
                feed.next()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            reading.join()
        """
        with Fed(script, SCHEMA, {"wait_for_file": "go"}, rows(4), END) as node:
            self.assertEqual(node.line(), "waits")
            os.kill(node.pid, signal.SIGINT)
            self.assertEqual(node.line(), "interrupted")
            (node.folder / "go").touch()
            self.assertEqual(node.line(), "1")

    def test_a_host_that_dies_is_a_connection_error_after_what_it_had_written(self):
        script = """
            print(len(feed.next()), flush=True)
            for attempt in range(2):
                try:
                    feed.next()
                except ConnectionError as error:
                    print(error)
        """
        lines, _, _ = fed(script, SCHEMA, rows(2), {"hang_up": None})
        self.assertEqual(lines, ["2"] + ["the feed is over: the other end of the channel is gone"] * 2)
        with Fed(script, SCHEMA, rows(2)) as node:
            self.assertEqual(node.line(), "2")
            node.process.kill()
            self.assertEqual(node.line(), "the feed is over: the other end of the channel is gone")

    def test_held_batches_that_stall_the_host_are_named(self):
        script = """
            import warnings
            kept = []
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                while True:
                    try:
                        kept.append(feed.next(timeout=6).numpy("id"))
                    except TimeoutError:
                        break
                print(feed.metrics()["held"] == [1, 2, 3, 4][: len(kept)], len(caught), caught[0].category.__name__)
                print(caught[0].message, caught[0].filename)
            del kept
            print(sum(len(batch) for batch in feed), feed.metrics()["held"])
        """
        lines, _, _ = fed(script, SCHEMA, rows(3000, batch=300), END)
        self.assertEqual(lines[0], "True 1 HeldBatches")
        self.assertRegex(lines[1], r"still holds \d batches \(sequence 1, 2.*\), which take more than half of the ring.* <string>")
        self.assertRegex(lines[2], r"^[1-9]\d+ \[\]$")


class Threads(unittest.TestCase):
    def test_one_thread_answers_while_another_waits(self):
        script = """
            import queue
            batches = queue.Queue(2)
            def answer():
                while (batch := batches.get()) is not None:
                    node.emit({"score": batch.numpy("x") * 2}, of=batch)
            answering = threading.Thread(target=answer)
            answering.start()
            for batch in feed:
                batches.put(batch)
                del batch
            batches.put(None)
            answering.join()
        """
        lines, report, stderr = fed(script, SCHEMA, rows(50_000, batch=100), {"barrier": 3}, END, results=["score"], emitted=True)
        self.assertEqual((report["fault"], stderr), (None, ""))
        scores = [score for answer in report["answers"] for score in answer["columns"]["score"]]
        self.assertEqual(scores, [float(row) for row in range(50_000)])
        self.assertEqual((report["barriers"], report["came"][-1], report["end"]), ([3], "end", report["sent"][-1]))

    def test_batches_are_released_in_any_order_in_any_thread(self):
        script = """
            import random
            kept, total = [], 0
            for batch in feed:
                total += int(batch.numpy("id").sum())
                kept.append(batch.numpy("x"))
                del batch
                if len(kept) == 3:
                    gone = kept.pop(random.randrange(3))
                    thread = threading.Thread(target=lambda gone: None, args=(gone,))
                    del gone
                    thread.start()
                    thread.join()
                    del thread
            del kept
            print(total, feed.metrics()["held"])
        """
        lines, report, _ = fed(script, SCHEMA, rows(20_000, batch=100), END, input_bytes=65536)
        self.assertEqual(lines, [f"{sum(range(20_000))} []"])


    def test_others_may_ask_and_close_while_one_waits(self):
        script = """
            reading = threading.Thread(target=lambda: print(sum(len(batch) for batch in feed)))
            reading.start()
            until(lambda: feed.watermark is not None)
            print(feed.schema, feed.metrics()["batches"], reading.is_alive(), flush=True)
            feed.close()
            reading.join()
        """
        lines, report, stderr = fed(script, SCHEMA, rows(2), {"watermark": 5})
        self.assertEqual(lines, ["{'id': 'Int64', 'x': 'Float32'} 1 True", "2"], stderr)
        self.assertEqual((report["came"], report["end"]), (["end"], 1))


class Children(unittest.TestCase):
    def test_a_forked_child_has_no_feed_and_may_drop_what_it_has(self):
        script = """
            import os
            batch = feed.next()
            array, raw = batch.numpy("id"), feed._channel
            local = threading.local()
            def hold():
                local.batch = feed.next()
                held.set(); done.wait()
            held, done = threading.Event(), threading.Event()
            holding = threading.Thread(target=hold, daemon=True)
            holding.start()
            held.wait()
            if os.fork() == 0:
                for attempt in [feed.next, feed.close, feed.metrics, lambda: feed.schema, lambda: node.emit([1])]:
                    try:
                        attempt()
                        print("it had a feed")
                    except forebay.NotInForebay:
                        pass
                for attempt in [lambda: raw.next(None), raw.held, raw.close, lambda: raw.emit([], None)]:
                    try:
                        attempt()
                        print("it had a channel")
                    except RuntimeError as error:
                        print(error)
                print(array.sum())
                del batch, array, raw, feed, node, local
                sys.exit(0)
            _, status = os.wait()
            print(status, array.sum(), flush=True)
            done.set()
            print(len(list(feed)))
        """
        lines, report, stderr = fed(script, SCHEMA, rows(12, batch=3), END)
        refusals = ["this is a forked child of a node's process: its feed is read in the process that the agent started"] * 4
        self.assertEqual(lines, [*refusals, "3", "0 3", "2"], stderr)
        self.assertEqual((report["came"], report["code"], report["fault"]), (["end"], 0, None))

    def test_multiprocessing_does_not_disturb_the_feed(self):
        for method in ["fork", "spawn"]:
            script = f"""
                import multiprocessing, operator
                total = 0
                for batch in feed:
                    total += len(batch)
                    if batch.sequence in (2, 3):
                        with multiprocessing.get_context("{method}").Pool(2) as pool:
                            print(pool.map(operator.neg, [1, 2, 3]))
                print(total)
            """
            with self.subTest(method=method):
                lines, report, stderr = fed(script, SCHEMA, rows(9, batch=3), END)
                self.assertEqual(lines, ["[-1, -2, -3]"] * 2 + ["9"], stderr)
                self.assertEqual(report["came"], ["end"])

    def test_programs_that_the_script_starts_have_no_part_in_the_channel(self):
        script = """
            import subprocess
            look = (
                "import os; entries = [os.readlink(entry.path) for entry in os.scandir('/proc/self/fd') if entry.name > '2']; "
                "print('FOREBAY_CHANNEL' in os.environ, [entry for entry in entries if 'memfd' in entry or 'socket' in entry])"
            )
            subprocess.run([sys.executable, "-c", look], close_fds=False)
            print(len(list(feed)))
        """
        lines, _, _ = fed(script, SCHEMA, rows(1), END)
        self.assertEqual(lines, ["False []", "1"])

    def test_the_host_learns_of_an_end_although_a_child_lives_on(self):
        script = """
            import os, signal
            feed.next()
            child = os.fork()
            if child == 0:
                signal.pause()
            print(child, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
        with Fed(script, SCHEMA, rows(1)) as node:
            child = int(node.line())
            try:
                node.process.wait(50)
                report = json.loads((node.folder / "report.json").read_text())
                self.assertEqual((report["gone"], report["code"]), (True, None))
            finally:
                os.kill(child, signal.SIGKILL)


class Unfed(unittest.TestCase):
    def test_a_node_without_a_feed_is_told_what_to_do(self):
        for script in ["node.feed", "node.emit([1])"]:
            with Agent(f"import forebay\nnode = forebay.node()\n{script}") as agent:
                agent.welcome()
                text = "forebay.NotFed: the role `worker` is not fed: give it an `input` in the job file"
                self.assertIn(text, agent.ended()[1])

    def test_descriptors_that_are_no_channel_are_passed_over(self):
        for text in ["", "3", "0,1,2,0,1", "9999,1,2,3,4", "x", "-1,-1,-1,-1,-1", "9" * 30]:
            with self.subTest(text):
                arguments = ["/usr/bin/env", f"FOREBAY_CHANNEL={text}", sys.executable, "-c"]
                with Agent("import forebay\nprint('fine')\nforebay.node().feed", arguments=arguments) as agent:
                    agent.welcome()
                    self.assertEqual(agent.line(), "fine")
                    self.assertIn("forebay.NotFed", agent.ended()[1])

    def test_memory_that_is_no_channel_is_named_at_each_call(self):
        script = """
            import os, socket, sys
            files = [os.memfd_create("x", 0) for _ in range(4)]
            ends = socket.socketpair()
            descriptors = [*files, ends[0].fileno()]
            for descriptor in descriptors:
                os.set_inheritable(descriptor, True)
            os.environ["FOREBAY_CHANNEL"] = ",".join(map(str, descriptors))
            look = [
                "import forebay", "for _ in range(2):", "  try: forebay.node().feed", "  except ConnectionError as error: print(error, flush=True)",
            ]
            os.execl(sys.executable, sys.executable, "-c", chr(10).join(look))
        """
        with Agent(script, arguments=[sys.executable, "-S", "-c"]) as agent:
            agent.welcome()
            for _ in range(2):
                self.assertRegex(agent.line(), "^the feed is over: ")


if __name__ == "__main__":
    unittest.main()
