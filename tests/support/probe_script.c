/* SPDX-License-Identifier: Apache-2.0 */
#include "support/probe_script.h"

#include "support/probe_shadow.h"
#include "support/random.h"

#include <string.h>

/* What is left of the script; it reads as zeros past its end. */
struct reader {
    const uint8_t *at;
    size_t left;
};

struct run {
    struct reader script;
    struct shadow shadow;
    struct qcmp_stamp now;
};

typedef void (*step_fn)(struct run *run);

static uint8_t read_byte(struct reader *reader)
{
    if (reader->left == 0)
        return 0;
    reader->left--;
    return *reader->at++;
}

static uint64_t read_number(struct reader *reader, int bytes)
{
    uint64_t number = 0;

    for (int i = 0; i < bytes; i++)
        number = number << 8 | read_byte(reader);
    return number;
}

/* Peers that differ in one thing each. */
static struct qcmp_endpoint read_peer(struct reader *reader)
{
    struct qcmp_endpoint peer = {.address = {0xfe, 0x80}, .scope = 1, .port = 7600};

    peer.address[15] = 1;
    switch (read_byte(reader) % 6) {
    case 1:
        peer.address[15] = 2;
        break;
    case 2:
        peer.address[0] = 0xff;
        break;
    case 3:
        peer.scope = 2;
        break;
    case 4:
        peer.port = 7601;
        break;
    case 5:
        peer.port = 0;
        break;
    }
    return peer;
}

/* One of the pings sent so far, counted from the newest. */
static const struct shadow_ping *read_ping(struct run *run)
{
    const size_t back = (size_t)read_number(&run->script, 2);

    if (run->shadow.count == 0)
        return NULL;
    return &run->shadow.pings[run->shadow.count - 1 - back % run->shadow.count];
}

static int64_t add_held(int64_t time, int64_t more)
{
    if (more > 0 && time > INT64_MAX - more)
        return INT64_MAX;
    if (more < 0 && time < INT64_MIN - more)
        return INT64_MIN;
    return time + more;
}

/* A little before now or after it. */
static int64_t read_arrival(struct run *run)
{
    return add_held(run->now.monotonic_ns, (int64_t)read_byte(&run->script) - 128);
}

static int64_t read_timeout(struct reader *reader)
{
    const uint64_t number = read_number(reader, 2);

    return number == UINT16_MAX ? INT64_MAX : (int64_t)number;
}

static void step_ping(struct run *run)
{
    struct qcmp_probe_request request = {.to = read_peer(&run->script), .now = run->now};

    request.timeout_ns = read_timeout(&run->script);
    request.random = read_number(&run->script, 2);
    shadow_send(&run->shadow, request);
}

static void step_burst(struct run *run)
{
    struct qcmp_probe_request request = {.to = read_peer(&run->script), .now = run->now};
    int count = read_byte(&run->script) % 100;
    uint64_t seed = (uint64_t)count;

    request.timeout_ns = read_timeout(&run->script);
    for (; count >= 0; count--) {
        request.random = random_next(&seed);
        shadow_send(&run->shadow, request);
        request.timeout_ns = add_held(request.timeout_ns, (int64_t)(seed % 7));
    }
}

static void step_answer(struct run *run)
{
    const struct shadow_ping *ping = read_ping(run);
    const int64_t arrived_ns = read_arrival(run);
    uint8_t pong[QCMP_PONG_BYTES];

    if (ping == NULL)
        return;
    shadow_answer(ping, pong);
    shadow_receive(&run->shadow, &ping->asked.to, pong, sizeof pong, arrived_ns);
}

static void step_corrupt_answer(struct run *run)
{
    const struct shadow_ping *ping = read_ping(run);
    const size_t at = read_byte(&run->script) % QCMP_PONG_BYTES;
    const uint8_t change = read_byte(&run->script);
    const size_t longer = read_byte(&run->script) % 2;
    uint8_t pong[QCMP_PONG_BYTES];

    if (ping == NULL)
        return;
    shadow_answer(ping, pong);
    pong[at] = (uint8_t)(pong[at] ^ change);
    shadow_receive(&run->shadow, &ping->asked.to, pong, sizeof pong + longer,
                   run->now.monotonic_ns);
}

static void step_misdirect_answer(struct run *run)
{
    const struct shadow_ping *ping = read_ping(run);
    const struct qcmp_endpoint from = read_peer(&run->script);
    uint8_t pong[QCMP_PONG_BYTES];

    if (ping == NULL)
        return;
    shadow_answer(ping, pong);
    shadow_receive(&run->shadow, &from, pong, sizeof pong, run->now.monotonic_ns);
}

static void step_datagram(struct run *run)
{
    const struct qcmp_endpoint from = read_peer(&run->script);
    const size_t bytes = read_byte(&run->script) % 64;
    uint8_t data[64];

    for (size_t i = 0; i < bytes; i++)
        data[i] = read_byte(&run->script);
    shadow_receive(&run->shadow, &from, data, bytes, run->now.monotonic_ns);
}

static void step_advance(struct run *run)
{
    const int64_t passed = (int64_t)read_number(&run->script, 2);

    run->now.monotonic_ns = add_held(run->now.monotonic_ns, passed);
    run->now.wall_ns = add_held(run->now.wall_ns, passed);
}

static void step_set_wall_clock(struct run *run)
{
    run->now.wall_ns = add_held(run->now.wall_ns, (int64_t)read_number(&run->script, 8));
}

static void step_cancel(struct run *run)
{
    const struct shadow_ping *ping = read_ping(run);

    if (ping != NULL)
        shadow_cancel(&run->shadow, ping->id);
}

static void step_cancel_anything(struct run *run)
{
    shadow_cancel(&run->shadow, read_number(&run->script, 8));
}

static void step_cancel_next(struct run *run)
{
    (void)shadow_cancel_next(&run->shadow);
}

static void step_expire(struct run *run)
{
    while (shadow_expire(&run->shadow, run->now.monotonic_ns))
        shadow_check(&run->shadow);
}

static const step_fn STEPS[] = {
    step_ping,
    step_ping,
    step_burst,
    step_answer,
    step_answer,
    step_corrupt_answer,
    step_misdirect_answer,
    step_datagram,
    step_advance,
    step_set_wall_clock,
    step_cancel,
    step_cancel_anything,
    step_cancel_next,
    step_expire,
};

size_t probe_script_run(const uint8_t *script, size_t bytes, size_t max_pings)
{
    static const size_t slots[] = {1, 2, 3, 8, 40, 256, 257, 600};
    static const int64_t starts[] = {0, INT64_MIN, INT64_MAX - 20000, -5};
    struct run run = {.script = {script, bytes}};

    shadow_init(&run.shadow, slots[read_byte(&run.script) % 8], max_pings);
    run.now.monotonic_ns = starts[read_byte(&run.script) % 4];
    run.now.wall_ns = starts[read_byte(&run.script) % 4];
    while (run.script.left > 0) {
        STEPS[read_byte(&run.script) % (sizeof STEPS / sizeof *STEPS)](&run);
        shadow_check(&run.shadow);
    }

    const size_t sent = run.shadow.count;

    shadow_fini(&run.shadow);
    return sent;
}
