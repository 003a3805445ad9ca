"""What a script can say and ask through `forebay.node()`."""

from __future__ import annotations

import pathlib
import signal
import tempfile
import unittest

from agent import Agent, cluster, member, message, report_values

MEMBERS = [
    member("worker", 1, "10.0.0.2", {"train": 21001}),
    member("worker", 0, "10.0.0.1", {"train": 21000, "debug": 21005}),
    member("ps", 0, "fd00::1", {"train": 21002}, finished=True),
]


class Identity(unittest.TestCase):
    def test_a_node_knows_who_it_is(self):
        script = """
            import forebay
            node = forebay.node()
            print(node, node.role, node.index, node.attempt, node.run, node.parameters, node is forebay.node())
        """
        with Agent(script) as agent:
            agent.welcome(parameters={"rate": "0.1"})
            expected = "<node worker:1 of job digits, attempt 2> worker 1 2 digits-1 {'rate': '0.1'} True"
            self.assertEqual(agent.line(), expected)
            self.assertEqual([kind for kind, _ in agent.rest()], ["attached"])

    def test_the_output_folder_exists(self):
        with tempfile.TemporaryDirectory() as folder:
            output = f"{folder}/a run/output"
            with Agent("import forebay; print(forebay.node().output)", output=output) as agent:
                agent.welcome()
                self.assertEqual(agent.line(), output)
                self.assertTrue(pathlib.Path(output).is_dir())


class Clusters(unittest.TestCase):
    def test_endpoints_are_ordered_by_index(self):
        script = """
            import forebay
            cluster = forebay.node().cluster()
            print(cluster.generation, cluster.endpoints("worker"), cluster.endpoints("ps"), cluster.endpoints("chief"))
            print([member.name for member in cluster.finished], cluster.role("worker")[0].endpoint("debug"))
            cluster.endpoints("worker", "debug")
        """
        with Agent(script) as agent:
            agent.welcome(cluster=cluster(3, 0, *MEMBERS))
            self.assertEqual(agent.line(), "3 ['10.0.0.1:21000', '10.0.0.2:21001'] ['[fd00::1]:21002'] []")
            self.assertEqual(agent.line(), "['ps:0'] 10.0.0.1:21005")
            self.assertIn("`worker:1` has no port `debug`; its ports are: `train`", agent.ended()[1])

    def test_changes_arrive_and_older_ones_are_passed_over(self):
        script = """
            import forebay
            node = forebay.node()
            while input() != "end":
                cluster = node.cluster()
                print(cluster.generation, len(cluster.members), flush=True)
            node.generation_taken(node.cluster())
        """
        with Agent(script) as agent:
            agent.welcome(cluster=cluster(2, 1, MEMBERS[0]))
            agent.expect("attached")
            changes = [((2, 2), 2, "2 2"), ((2, 1), 3, "2 2"), ((1, 9), 3, "2 2"), ((3, 0), 3, "3 3")]
            for (generation, revision), count, line in changes:
                agent.send((2, message((1, cluster(generation, revision, *MEMBERS[:count])))))
                agent.settle()
                agent.type("look")
                self.assertEqual(agent.line(), line)
            agent.type("end")
            self.assertEqual(agent.expect("generation_taken"), {1: [3]})


class Reports(unittest.TestCase):
    def test_the_latest_value_of_each_name_is_kept(self):
        script = """
            import forebay
            node = forebay.node()
            for step in range(100_000):
                node.report(step=step, loss=1 / (step + 1))
                if step == 50_000:
                    node.report(accuracy=0.5)
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.expect("attached")
            reports = [body for _, body in agent.rest()]
            self.assertLess(len(reports), 1000)
            self.assertEqual(reports[-1][1], [99_999])
            self.assertEqual(report_values(reports[-1])["loss"], 1 / 100_000)
            self.assertEqual([values["accuracy"] for values in map(report_values, reports) if "accuracy" in values], [0.5])

    def test_a_single_report_right_after_the_first_words_leaves_at_once(self):
        for _ in range(5):
            with Agent("import forebay, time\nforebay.node().report(step=1)\ntime.sleep(1000)") as agent:
                agent.welcome()
                agent.expect("attached")
                self.assertEqual(agent.expect("report")[1], [1])
                agent.process.kill()

    def test_values_of_every_kind(self):
        script = """
            import forebay
            class Scalar:
                def __float__(self): return 2.5
            forebay.node().report(a=1.5, b=-3, c="text", d=True, e=Scalar(), f=2**70)
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.expect("attached")
            values = report_values(agent.expect("report"))
            self.assertEqual(values, {"a": 1.5, "b": 2**64 - 3, "c": "text", "d": True, "e": 2.5, "f": float(2**70)})

    def test_what_cannot_be_reported_is_named(self):
        cases = {
            "loss=[1]": "TypeError: `loss` is of type `list`; a report takes numbers, text and bool",
            "text='x' * 5000": "ValueError: `text` has 5000 bytes of text; at most 4096 are taken",
            "step=-1": "OverflowError",
            "step=0.5": "TypeError",
            "**{str(i): i for i in range(300)}": "ValueError: a report has 300 values; at most 256 are taken",
        }
        for arguments, text in cases.items():
            with self.subTest(arguments), Agent(f"import forebay; forebay.node().report({arguments})") as agent:
                agent.welcome()
                self.assertIn(text, agent.ended()[1])

    def test_an_agent_that_does_not_read_stops_nobody(self):
        script = """
            import forebay
            node = forebay.node()
            try:
                while True:
                    node.signal("s", "x" * 60_000)
            except ConnectionError as error:
                print(error, flush=True)
            for step in range(100_000):
                node.report(step=step)
            print("trained", flush=True)
        """
        with Agent(script) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "the agent does not read what this node says")
            self.assertEqual(agent.line(), "trained")
            self.assertEqual(agent.process.wait(60), 0)

    def test_reports_come_before_the_last_words(self):
        script = """
            import forebay, os
            node = forebay.node()
            node.report(step=1)
            node.report(step=2)
            node.signal("best", "model 2")
            node.report(step=3)
            node.done()
            node.report(step=4)
            node.finish_job("good enough")
            os._exit(0)
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.expect("attached")
            messages = agent.rest()
            self.assertIn(("signal", {1: [b"best"], 2: [b"model 2"]}), messages)
            self.assertEqual(messages[-1], ("finish_job", {1: [b"good enough"]}))
            steps = [body[1][0] if kind == "report" else kind for kind, body in messages if kind != "signal"]
            self.assertEqual(steps[-4:], [3, "done", 4, "finish_job"])

    def test_array_scalars_are_numbers(self):
        try:
            import numpy  # noqa: F401
        except ImportError:
            self.skipTest("this environment has no numpy")
        script = """
            import forebay, numpy as np
            forebay.node().report(step=np.int64(5), a=np.float32(0.5), b=np.int32(2), c=np.bool_(True), d=np.array(1.5))
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.expect("attached")
            report = agent.expect("report")
            self.assertEqual(report[1], [5])
            self.assertEqual(report_values(report), {"a": 0.5, "b": 2, "c": True, "d": 1.5})


class Stop(unittest.TestCase):
    def test_a_notice_is_seen_and_calls_back(self):
        script = """
            import forebay, threading
            node, stopped = forebay.node(), threading.Event()
            print(node.stop_requested(), flush=True)
            node.on_stop(lambda reason: (print(reason, flush=True), stopped.set()))
            stopped.wait()
            print(node.stop_requested(), flush=True)
        """
        with Agent(script) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "False")
            agent.expect("attached")
            agent.stop_notice("the job is stopped")
            agent.settle()
            agent.process.send_signal(signal.SIGTERM)
            self.assertEqual((agent.line(), agent.line()), ("the job is stopped", "True"))
            self.assertEqual(agent.ended(), (0, ""))

    def test_sigterm_alone_is_a_stop_request(self):
        script = """
            import forebay, threading
            node, stopped = forebay.node(), threading.Event()
            node.on_stop(lambda reason: stopped.set())
            print("ready", flush=True)
            stopped.wait()
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.line()
            agent.process.send_signal(signal.SIGTERM)
            self.assertEqual(agent.ended()[0], 0)

    def test_a_script_that_ends_after_a_notice_keeps_its_exit_status(self):
        script = """
            import forebay, os
            class Last:
                def __del__(self, write=os.write, read=os.read):
                    write(1, b"the interpreter ends\\n"), read(0, 1)
            last, _ = Last(), forebay.node().stop_requested()
        """
        with Agent(script) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "the interpreter ends")
            agent.process.send_signal(signal.SIGTERM)
            agent.type("")
            self.assertEqual(agent.ended(), (0, ""))

    def test_sigterm_ends_a_script_that_never_asks(self):
        with Agent("import forebay; forebay.node(); print('ready', flush=True); input()") as agent:
            agent.welcome()
            agent.line()
            agent.process.send_signal(signal.SIGTERM)
            self.assertEqual(agent.ended()[0], -signal.SIGTERM)

    def test_a_handler_of_the_script_stays(self):
        script = """
            import forebay, signal, sys
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
            forebay.node().stop_requested()
            print("ready", flush=True)
            signal.pause()
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.line()
            agent.process.send_signal(signal.SIGTERM)
            self.assertEqual(agent.ended()[0], 9)

    def test_an_agent_that_hangs_up_stops_its_node(self):
        with Agent("print('ready', flush=True); import signal; signal.pause()") as agent:
            agent.welcome()
            agent.line()
            agent.socket.close()
            self.assertEqual(agent.ended(), (-signal.SIGTERM, "forebay: the agent has hung up; this node stops\n"))

    def test_a_hang_up_is_a_stop_request(self):
        script = """
            import forebay, threading
            node, stopped = forebay.node(), threading.Event()
            node.on_stop(lambda reason: (print(reason, flush=True), stopped.set()))
            print("ready", flush=True)
            stopped.wait()
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.line()
            agent.socket.close()
            self.assertEqual(agent.line(), "the agent has hung up")
            self.assertEqual(agent.ended()[0], 0)

    def test_a_script_may_end_while_it_waits_for_a_stop(self):
        with Agent("import forebay; forebay.node().on_stop(print)") as agent:
            agent.welcome()
            self.assertEqual(agent.ended(), (0, ""))

    def test_bytes_that_are_no_frame_stop_a_running_node(self):
        with Agent("print('ready', flush=True); import signal; signal.pause()") as agent:
            agent.welcome()
            agent.line()
            agent.socket.sendall(b"\xff" * 64)
            code, stderr = agent.ended()
            self.assertEqual(code, -signal.SIGTERM)
            self.assertIn("forebay: the agent cannot be understood: a frame of 4294967295 bytes is over the limit", stderr)


class Hooks(unittest.TestCase):
    def test_saving_and_going_back_are_refused_by_name(self):
        with Agent("import signal; signal.pause()") as agent:
            agent.welcome()
            agent.send((4, b"\x08\x05"))
            self.assertEqual(agent.expect("saved"), {1: [5], 3: [b"the script has no save hook"]})
            agent.send((5, b"\x08\x06"))
            self.assertEqual(agent.expect("rolled_back"), {1: [6], 2: [b"the script has no restore hook"]})


if __name__ == "__main__":
    unittest.main()
