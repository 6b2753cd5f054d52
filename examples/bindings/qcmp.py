#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The smallest binding of libqcmp, by ctypes: one blocking ping, and a survey of several sites.

    ./qcmp.py 192.0.2.1 '[2001:db8::1]:7600'

The library is found by its name, or by the path in QCMP_LIBRARY. Tried by the tests with Python 3.11 on Linux.
"""
import ctypes
import ctypes.util
import os
import sys

PORT = 7600
NO_DEADLINE = 2**63 - 1


class Endpoint(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint8 * 16), ("scope", ctypes.c_uint32), ("port", ctypes.c_uint16)]


class Sample(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("rtt_ns", "raw_rtt_ns", "hold_ns", "incoming_ns", "outgoing_ns")] + [
        ("known", ctypes.c_uint), ("suspect", ctypes.c_int)]


class SurveyResult(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("sent", "answered", "lost")] + [("known", ctypes.c_int)] + [
        (name, ctypes.c_int64) for name in ("median_ns", "p95_ns", "least_ns", "jitter_ns", "low_ns", "high_ns", "score_ns")] + [
        ("loss", ctypes.c_double), ("loss_proven", ctypes.c_double)]


def load():
    path = os.environ.get("QCMP_LIBRARY") or ctypes.util.find_library("qcmp")
    if path is None:
        raise OSError("libqcmp is not installed, and QCMP_LIBRARY is not set")
    lib = ctypes.CDLL(path)
    lib.qcmp_survey_bytes_sized.restype = ctypes.c_size_t
    lib.qcmp_survey_bytes_sized.argtypes = [ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t]
    lib.qcmp_client_wait.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    lib.qcmp_client_free.argtypes = [ctypes.c_void_p]
    lib.qcmp_survey_step.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.qcmp_survey_wait_ns.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.qcmp_survey_wait_ns.restype = ctypes.c_int64
    lib.qcmp_distance_measure_endpoint.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    lib.qcmp_error_format.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    return lib


LIB = load()


class Error(Exception):
    """A negative result; `number` is one of enum qcmp_error or holds an error of the operating system."""

    def __init__(self, number):
        text = ctypes.create_string_buffer(256)
        LIB.qcmp_error_format(number, text, len(text))
        super().__init__(text.value.decode())
        self.number = number


def check(result):
    if result < 0:
        raise Error(result)
    return result


def endpoint(text, port=PORT):
    """An address, with a port or without."""
    parsed = Endpoint()
    check(LIB.qcmp_endpoint_parse(ctypes.byref(parsed), text.encode(), ctypes.c_uint16(port)))
    return parsed


def ping(to, timeout_s=5.0):
    """One ping; blocks until it is answered, or raises Error."""
    sample = Sample()
    check(LIB.qcmp_distance_measure_endpoint(ctypes.byref(to), int(timeout_s * 1e9), ctypes.byref(sample)))
    return sample


def survey(sites):
    """Surveys sites until the best is certain. Returns its index, or None, and a SurveyResult for each."""
    array = (Endpoint * len(sites))(*sites)
    # In words of 16 bytes and one more, because the memory must be aligned as malloc aligns.
    bytes_needed = LIB.qcmp_survey_bytes_sized(len(sites), None, 0)
    memory = ctypes.create_string_buffer(bytes_needed + 16)
    start = ctypes.c_void_p((ctypes.addressof(memory) + 15) // 16 * 16)
    surveyed, client = ctypes.c_void_p(), ctypes.c_void_p()
    check(LIB.qcmp_survey_init_sized(ctypes.byref(surveyed), start, ctypes.c_size_t(bytes_needed), array,
                                     ctypes.c_size_t(len(sites)), None, ctypes.c_size_t(0)))
    check(LIB.qcmp_client_new_sized(ctypes.byref(client), None, ctypes.c_size_t(0)))
    try:
        while check(LIB.qcmp_survey_step(surveyed, client)):
            LIB.qcmp_client_wait(client, LIB.qcmp_survey_wait_ns(surveyed, client))
        best = LIB.qcmp_survey_best(surveyed, None)
        results = [SurveyResult() for _ in sites]
        for i, result in enumerate(results):
            LIB.qcmp_survey_get_sized(surveyed, ctypes.c_size_t(i), ctypes.byref(result), ctypes.sizeof(result))
    finally:
        LIB.qcmp_client_free(client)
    return (best if best >= 0 else None), results


def main(words):
    if len(words) == 1:
        print(f"{ping(endpoint(words[0])).rtt_ns / 1e6:.3f} ms")
        return 0
    best, results = survey([endpoint(word) for word in words])
    for word, result in zip(words, results):
        print(f"{word}: median {result.median_ns / 1e6:.3f} ms, loss {result.loss:.0%}" if result.known else f"{word}: no answer")
    print("no site answers" if best is None else f"{words[best]} is the best")
    return best is None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
