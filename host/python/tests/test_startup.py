"""What the start-up file does, in a node and outside of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest

from agent import Agent, WATCHDOG_S


def run_outside(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FOREBAY_")}
    return subprocess.run(
        [sys.executable, "-c", script], env={**clean, **environment}, text=True, capture_output=True, timeout=WATCHDOG_S, check=False
    )


class OutsideOfANode(unittest.TestCase):
    def test_nothing_is_imported(self):
        done = run_outside("import sys; print([name for name in sys.modules if 'forebay' in name])")
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("[]\n", "", 0))

    def test_node_says_how_to_run_the_script(self):
        done = run_outside("import forebay; forebay.node()")
        self.assertIn("forebay.NotInForebay: this process was not started by Forebay", done.stderr)
        self.assertIn("forebay run JOB.toml", done.stderr)

    def test_a_descriptor_that_is_no_socket_does_not_hinder_the_script(self):
        for text in ["12345", "0", "-1", "three", "9" * 30]:
            done = run_outside("print('fine'); import forebay; forebay.node()", FOREBAY_NODE_FD=text)
            self.assertEqual(done.stdout, "fine\n")
            self.assertIn(f"`FOREBAY_NODE_FD` names `{text}`, which is not the agent's socket", done.stderr)


class Hello(unittest.TestCase):
    def test_a_script_that_never_imports_forebay_says_hello(self):
        with Agent("print('hi')") as agent:
            hello = agent.welcome()
            self.assertEqual(hello[1], [1])
            self.assertEqual(hello[2], [agent.process.pid])
            self.assertEqual(hello[3], [sys.version.split()[0].encode()])
            self.assertEqual(hello[5], [sys.executable.encode()])
            self.assertEqual(agent.rest(), [])
            self.assertEqual(agent.ended(), (0, ""))

    def test_the_script_begins_after_the_welcome(self):
        with Agent("print('begun')") as agent:
            agent.expect("hello")
            agent.socket.close()
            code, stderr = agent.process.wait(WATCHDOG_S), agent.process.stderr.read()
            self.assertEqual((code, agent.process.stdout.read()), (3, ""))
            self.assertEqual(stderr, "forebay: the agent has hung up\n")

    def test_a_refusal_is_printed_and_the_script_does_not_begin(self):
        with Agent("print('begun')") as agent:
            agent.welcome(refusal="the wheel is 0.0.9, the host 0.1.0; install it again")
            self.assertEqual(agent.line(), "")
            self.assertEqual(agent.ended(), (3, "forebay: the wheel is 0.0.9, the host 0.1.0; install it again\n"))

    def test_bytes_that_are_no_frame_are_named(self):
        hostile = {b"\xff\xff\xff\xff": "over the limit", b"\x02\0\0\0\x0a\xff": "not a valid message"}
        for raw, text in hostile.items():
            with Agent("print('begun')") as agent:
                agent.expect("hello")
                agent.socket.sendall(raw)
                code, stderr = agent.ended()
                self.assertEqual(code, 3)
                self.assertRegex(stderr, f"^forebay: the agent cannot be understood: .*{text}")

    def test_unknown_messages_are_passed_over(self):
        with Agent("input()") as agent:
            agent.welcome()
            agent.send((99, b"from a later version"))
            agent.ping(7)
            self.assertEqual(agent.expect("pong"), {1: [7]})


class Endings(unittest.TestCase):
    def test_an_exception_is_told_and_printed_as_ever(self):
        with Agent("def train():\n    raise ValueError('bad \\udcff loss')\ntrain()") as agent:
            agent.welcome()
            error = agent.expect("exception")
            self.assertEqual((error[1], error[2]), ([b"ValueError"], ["bad ? loss".encode()]))
            self.assertIn(b"in train", error[3][0])
            code, stderr = agent.ended()
            self.assertEqual(code, 1)
            self.assertIn("in train", stderr)

    def test_a_hook_that_was_there_before_still_runs(self):
        script = "import sys\nprevious = sys.excepthook\nsys.excepthook = lambda *a: (print('mine'), previous(*a))\n1 / 0"
        with Agent(script) as agent:
            agent.welcome()
            self.assertEqual(agent.expect("exception")[1], [b"ZeroDivisionError"])
            self.assertEqual(agent.line(), "mine")

    def test_exits_are_not_exceptions(self):
        for script, code in [("import sys; sys.exit(0)", 0), ("raise SystemExit(4)", 4), ("import os; os._exit(5)", 5)]:
            with Agent(script) as agent:
                agent.welcome()
                self.assertEqual(agent.rest(), [])
                self.assertEqual(agent.ended()[0], code)

    def test_a_giant_traceback_keeps_its_end(self):
        with Agent("raise ValueError('x' * 3_000_000 + 'the end')") as agent:
            agent.welcome()
            error = agent.expect("exception")
            self.assertEqual(len(error[3][0]), 256 * 1024)
            self.assertTrue(error[3][0].endswith(b"the end\n"))

    def test_the_agent_learns_of_an_end_although_a_child_lives_on(self):
        script = """
            import os, sys
            if os.fork() == 0:
                sys.stdin.read()
                os._exit(0)
            print("forked", flush=True)
            os.wait()
        """
        with Agent(script) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "forked")
            agent.process.kill()
            self.assertEqual(agent.rest(), [])


class Processes(unittest.TestCase):
    def test_programs_that_a_node_starts_have_no_part_in_the_conversation(self):
        script = """
            import os, subprocess, sys
            look = (
                "import os, sys; entries = os.scandir('/proc/self/fd'); "
                "sockets = [entry.name for entry in entries if os.readlink(entry.path).startswith('socket:')]; "
                "print('FOREBAY_NODE_FD' in os.environ, 'forebay' in sys.modules, sockets)"
            )
            subprocess.run([sys.executable, "-c", look], close_fds=False)
            os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", look)
        """
        with Agent(script) as agent:
            agent.welcome()
            self.assertEqual((agent.line(), agent.line()), ("False False []", "False False []"))
            self.assertEqual(agent.rest(), [])

    def test_a_forked_child_is_silent_and_says_so(self):
        script = """
            import os, forebay
            node = forebay.node()
            node.report(step=1)
            if os.fork() == 0:
                try:
                    node.report(step=2)
                except forebay.NotInForebay as error:
                    print(error, flush=True)
                raise ValueError("in the child")
            os.wait()
            node.report(step=3)
        """
        with Agent(script) as agent:
            agent.welcome()
            agent.expect("attached")
            self.assertIn("this is a forked child", agent.line())
            steps = [body[1][0] for _, body in agent.rest()]
            self.assertEqual((steps[-1], 2 in steps), (3, False))
            code, stderr = agent.ended()
            self.assertEqual(code, 0)
            self.assertIn("ValueError: in the child", stderr)

    def test_multiprocessing_works_in_a_node(self):
        for method in ["fork", "spawn", "forkserver"]:
            script = f"""
                import multiprocessing, operator
                if __name__ == "__main__":
                    with multiprocessing.get_context("{method}").Pool(2) as pool:
                        print(pool.map(operator.neg, [1, 2, 3]))
            """
            with self.subTest(method=method), Agent(script) as agent:
                agent.welcome()
                self.assertEqual(agent.line(), "[-1, -2, -3]")
                self.assertEqual(agent.rest(), [])
                self.assertEqual(agent.ended(), (0, ""))

    def test_of_a_pipeline_one_process_speaks(self):
        first = "import sys; print('out', flush=True); sys.stdin.readline()"
        pipeline = f'"{sys.executable}" -c "{first}" | "{sys.executable}" -c "print(input(), flush=True)"'
        with Agent(pipeline, arguments=["/bin/sh", "-c"]) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "out")
            agent.type("end")
            self.assertEqual(agent.rest(), [])

    def test_programs_of_a_shell_script_speak_one_after_the_other(self):
        with Agent(f'"{sys.executable}" -c "print(1)"; "{sys.executable}" -c "1 / 0"', arguments=["/bin/sh", "-c"]) as agent:
            first = agent.welcome()
            second = agent.welcome()
            self.assertNotEqual(first[2], second[2])
            self.assertEqual(agent.expect("exception")[1], [b"ZeroDivisionError"])


STUCK = """
    import ctypes
    ctypes.PyDLL(None).system(b"echo stuck; read line")
"""


class Stuck(unittest.TestCase):
    """The script holds the interpreter's lock, in C, until it gets a line."""

    def test_the_signal_writes_stacks(self):
        with Agent(STUCK) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "stuck")
            agent.process.send_signal(signal.SIGUSR2)
            self.assertIn("most recent call first", agent.process.stderr.readline())

    def test_no_pong_comes(self):
        with Agent(STUCK) as agent:
            agent.welcome()
            self.assertEqual(agent.line(), "stuck")
            agent.ping(1)
            self.assertTrue(agent.is_silent())
            agent.type("go on")
            self.assertEqual(agent.expect("pong"), {1: [1]})


class Ends(unittest.TestCase):
    def test_pings_up_to_the_end_do_not_hinder_it(self):
        for _ in range(20):
            with Agent("pass") as agent:
                agent.welcome()
                try:
                    for number in range(200):
                        agent.ping(number)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assertEqual(agent.ended(), (0, ""))


if __name__ == "__main__":
    unittest.main()
