"""The load generator of the tests, of chaos and of the bench: closed loops of HTTP clients.

A client sends its next request when it has the answer to the last, over kept connections, to the
backend that a switch chooses as a proxy would. Each request has one outcome, which is recorded
once, and each write can be looked for afterwards.
"""
