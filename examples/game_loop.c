/* SPDX-License-Identifier: Apache-2.0 */
/* A game at 60 frames a second that measures beside its work and never waits for the network:
 * game_loop ADDRESS PORT */
#include <netdb.h>
#include <stdio.h>
#include <time.h>

#include <qcmp/qcmp.h>

#define FRAMES 60
#define FRAMES_PER_PING 6
#define FRAME_NS 16666667
#define TIMEOUT_NS 250000000

/* What the game shows its player. */
struct link_quality {
    int answered;
    int lost;
    int64_t best_rtt_ns;
};

static void take_events(struct qcmp_client *client, struct link_quality *quality)
{
    struct qcmp_client_event events[16];
    int count = qcmp_client_process(client, events, 16);
    for (int i = 0; i < count; i++) {
        if (events[i].kind == QCMP_CLIENT_ANSWERED) {
            int64_t rtt_ns = events[i].sample.rtt_ns;
            if (quality->answered++ == 0 || rtt_ns < quality->best_rtt_ns)
                quality->best_rtt_ns = rtt_ns;
        } else if (events[i].kind == QCMP_CLIENT_TIMED_OUT ||
                   events[i].kind == QCMP_CLIENT_FAILED) {
            quality->lost++;
        }
    }
}

static void play(struct qcmp_client *client, const struct addrinfo *to,
                 struct link_quality *quality)
{
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int frame = 0; frame < FRAMES; frame++) {
        /* ... input, simulation, drawing ... */
        if (frame % FRAMES_PER_PING == 0 &&
            qcmp_client_ping(client, to->ai_addr, to->ai_addrlen, TIMEOUT_NS, NULL, NULL) != 0)
            quality->lost++;
        take_events(client, quality);

        next.tv_nsec += FRAME_NS;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    take_events(client, quality);
}

int main(int argc, char **argv)
{
    struct link_quality quality = {0, 0, 0};
    struct qcmp_client *client;
    struct addrinfo *to;
    if (argc != 3 || getaddrinfo(argv[1], argv[2], NULL, &to) != 0)
        return 2;
    if (qcmp_client_new(&client, NULL) != 0) {
        freeaddrinfo(to);
        return 1;
    }
    play(client, to, &quality);
    printf("%d answered, %d lost, best %.3f ms\n", quality.answered, quality.lost,
           (double)quality.best_rtt_ns / 1e6);
    qcmp_client_free(client);
    freeaddrinfo(to);
    return quality.answered == 0;
}
