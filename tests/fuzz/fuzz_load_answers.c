/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a hostile server sends back to the load generator. The input is a program: pings are sent
 * and time goes by, and datagrams come that are honest answers, old ones, ones with a byte changed,
 * or any bytes. Oracle: a list of all pings that were ever sent; each is credited at most once,
 * only by a pong with its flow, nonce and timestamp, and the counts add up.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "load/tracker.h"
#include "support/check.h"
#include "support/input.h"

#define MAX_PINGS 4096
#define TIMEOUT_NS 100
#define FLOWS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum fate {
    IN_FLIGHT,
    ANSWERED,
    LOST,
    LATE,
    WITHDRAWN
};

struct model {
    struct tracker *tracker;
    struct tracker_ping pings[MAX_PINGS];
    enum fate fates[MAX_PINGS];
    size_t sent;
    uint32_t in_flight;
    int64_t now_ns;
};

static size_t take_index(struct input *input, const struct model *model)
{
    size_t back = input_take(input) * 16 + input_take(input) % 16;
    return back < model->sent ? model->sent - 1 - back : 0;
}

static void send_ping(struct model *model, struct input *input)
{
    struct tracker_ping ping = {
        .flow = input_take(input) % FLOWS, .due_ns = model->now_ns, .sent_ns = model->now_ns};
    if (model->sent == MAX_PINGS)
        return;
    int result = tracker_send(model->tracker, &ping);
    CHECK((result != 0) == (model->in_flight == tracker_slots(model->tracker)));
    if (result != 0)
        return;
    CHECK(model->sent == 0 || ping.stamp_ns > model->pings[model->sent - 1].stamp_ns);
    model->pings[model->sent] = ping;
    model->fates[model->sent] = IN_FLIGHT;
    model->sent++;
    model->in_flight++;
}

static void withdraw(struct model *model)
{
    size_t last = model->sent - 1;
    if (model->sent == 0 || model->fates[last] != IN_FLIGHT)
        return;
    tracker_withdraw(model->tracker, &model->pings[last]);
    model->fates[last] = WITHDRAWN;
    model->in_flight--;
}

static void expire(struct model *model)
{
    uint32_t before = model->in_flight;
    for (int64_t flow = tracker_expire(model->tracker, model->now_ns); flow >= 0;
         flow = tracker_expire(model->tracker, model->now_ns)) {
        CHECK(flow < FLOWS);
        CHECK(model->in_flight > 0);
        model->in_flight--;
    }
    for (size_t i = 0; i < model->sent; i++) {
        if (model->fates[i] != IN_FLIGHT || model->pings[i].sent_ns + TIMEOUT_NS > model->now_ns)
            continue;
        model->fates[i] = LOST;
        before--;
    }
    CHECK(before == model->in_flight);
}

/* The ping that a datagram answers by the rules alone, or MAX_PINGS. */
static size_t asked(const struct model *model, uint32_t flow, const uint8_t *data, size_t bytes)
{
    struct qcmp_packet pong;
    if (qcmp_packet_decode(data, bytes, &pong, NULL) != QCMP_PONG)
        return MAX_PINGS;
    for (size_t i = 0; i < model->sent; i++)
        if (model->pings[i].flow == flow && model->pings[i].nonce == pong.nonce &&
            model->pings[i].stamp_ns == pong.client_ns)
            return i;
    return MAX_PINGS;
}

static bool is_same(const struct tracker_ping *one, const struct tracker_ping *other)
{
    return one->flow == other->flow && one->nonce == other->nonce &&
           one->stamp_ns == other->stamp_ns && one->due_ns == other->due_ns &&
           one->sent_ns == other->sent_ns;
}

static void check_credit(struct model *model, size_t asked_for, enum tracker_answer answer,
                         const struct tracker_ping *credited, bool was_in_flight)
{
    CHECK(asked_for < MAX_PINGS);
    enum fate *fate = &model->fates[asked_for];
    CHECK(*fate == IN_FLIGHT || *fate == LOST);
    CHECK(was_in_flight == (*fate == IN_FLIGHT));
    CHECK(is_same(credited, &model->pings[asked_for]));
    bool in_time = was_in_flight && model->now_ns < credited->sent_ns + TIMEOUT_NS;
    CHECK(answer == (in_time ? TRACKER_ANSWERED : TRACKER_LATE));
    *fate = in_time ? ANSWERED : LATE;
    model->in_flight -= was_in_flight;
}

static void receive(struct model *model, uint32_t flow, const uint8_t *data, size_t bytes)
{
    struct tracker_ping credited;
    bool was_in_flight = false;
    memset(&credited, 0, sizeof credited);
    size_t asked_for = asked(model, flow, data, bytes);
    enum fate fate = asked_for < MAX_PINGS ? model->fates[asked_for] : WITHDRAWN;
    const struct tracker_datagram datagram = {
        .flow = flow, .data = data, .bytes = bytes, .received_ns = model->now_ns};
    enum tracker_answer answer =
        tracker_receive(model->tracker, &datagram, &credited, &was_in_flight);
    switch (answer) {
    case TRACKER_ANSWERED:
    case TRACKER_LATE:
        check_credit(model, asked_for, answer, &credited, was_in_flight);
        break;
    case TRACKER_DUPLICATE:
        CHECK(fate == ANSWERED || fate == LATE);
        break;
    case TRACKER_FOREIGN:
        /* What is in flight has its slot: its answer is always known. */
        CHECK(fate != IN_FLIGHT);
        break;
    }
    CHECK(tracker_in_flight(model->tracker) == model->in_flight);
}

/* An answer to some ping, whole or with one byte changed. */
static void receive_pong(struct model *model, struct input *input, bool change)
{
    uint8_t bytes[QCMP_PONG_BYTES];
    if (model->sent == 0)
        return;
    const struct tracker_ping *ping = &model->pings[take_index(input, model)];
    const struct qcmp_packet pong = {
        .kind = QCMP_PONG, .nonce = ping->nonce, .client_ns = ping->stamp_ns};
    CHECK(qcmp_packet_encode(&pong, bytes, sizeof bytes) == QCMP_PONG_BYTES);
    uint32_t flow = ping->flow;
    if (change) {
        size_t at = input_take(input) % (sizeof bytes + 1);
        if (at == sizeof bytes)
            flow = input_take(input) % (FLOWS + 1);
        else
            bytes[at] ^= (uint8_t)input_take(input);
    }
    receive(model, flow, bytes, sizeof bytes);
}

static void receive_bytes(struct model *model, struct input *input)
{
    uint32_t flow = input_take(input) % FLOWS;
    size_t bytes = input_take(input) % 64;
    if (bytes > input->size)
        bytes = input->size;
    receive(model, flow, input->data, bytes);
    input->data += bytes;
    input->size -= bytes;
}

static void step(struct model *model, struct input *input)
{
    switch (input_take(input) % 8) {
    case 0:
    case 1:
        send_ping(model, input);
        break;
    case 2:
        receive_pong(model, input, false);
        break;
    case 3:
        receive_pong(model, input, true);
        break;
    case 4:
        receive_bytes(model, input);
        break;
    case 5:
        model->now_ns += input_take(input);
        break;
    case 6:
        expire(model);
        break;
    case 7:
        withdraw(model);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct model *model = calloc(1, sizeof *model);
    CHECK(model != NULL);
    unsigned slots = input_take(&input) % 2 == 0 ? 256 : 1024;
    model->tracker = tracker_new(slots, TIMEOUT_NS, INT64_C(1700000000000000000));
    CHECK(model->tracker != NULL);
    while (input.size > 0)
        step(model, &input);
    model->now_ns += TIMEOUT_NS;
    expire(model);
    CHECK(model->in_flight == 0 && tracker_in_flight(model->tracker) == 0);
    CHECK(tracker_deadline_ns(model->tracker) == INT64_MAX);
    tracker_free(model->tracker);
    free(model);
    return 0;
}
