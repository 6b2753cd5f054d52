/* SPDX-License-Identifier: Apache-2.0 */
#include "load/xdp_sender.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>

#include "load_xdp.skel.h"

/* Frames that the kernel sends at once: what the receiver of a veth pair takes at once. */
#define KERNEL_BATCH 64

#define WAKE_SIGNAL SIGUSR1

/* Gives frames to the program for as long as it runs; a signal ends it. */
static void *sender_main(void *argument)
{
    struct xdp_sender *sender = argument;
    const struct xdp_setup *setup = sender->setup;
    struct xdp_md context = {.data_end = (uint32_t)setup->frame_bytes,
                             .ingress_ifindex = setup->interface};
    int error = 0;
    while (error == 0 && !atomic_load(&sender->is_over)) {
        struct bpf_test_run_opts test = {.sz = sizeof test,
                                         .data_in = setup->frame,
                                         .data_size_in = (uint32_t)setup->frame_bytes,
                                         .ctx_in = &context,
                                         .ctx_size_in = sizeof context,
                                         .repeat = INT32_MAX,
                                         .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                         .batch_size = KERNEL_BATCH};
        error = bpf_prog_test_run_opts(bpf_program__fd(setup->bpf->progs.load_send), &test);
        error = error == 0 || errno == EINTR ? 0 : errno;
    }
    atomic_store(&sender->error, error);
    return NULL;
}

static void ignore_signal(int number)
{
    (void)number;
}

/* The signal that ends a call of the kernel has to have a handler. */
int xdp_sender_start(struct xdp_sender *sender, struct xdp_setup *setup)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    sender->setup = setup;
    sigemptyset(&action.sa_mask);
    sigaction(WAKE_SIGNAL, &action, &sender->action_before);
    int error = pthread_create(&sender->thread, NULL, sender_main, sender);
    if (error != 0) {
        sigaction(WAKE_SIGNAL, &sender->action_before, NULL);
        return error_system(setup->error, -error, "cannot start a thread");
    }
    while (atomic_load(&sender->error) == 0 && setup->signals == 0 &&
           __atomic_load_n(&setup->bpf->bss->control.is_alive, __ATOMIC_RELAXED) == 0)
        xdp_setup_wait(setup, XDP_LOOK_NS);
    return 0;
}

bool xdp_sender_failed(const struct xdp_sender *sender)
{
    return atomic_load(&sender->error) != 0;
}

/* The signal may come before the call that it shall end. */
int xdp_sender_stop(struct xdp_sender *sender)
{
    struct xdp_setup *setup = sender->setup;
    atomic_store(&sender->is_over, true);
    do
        pthread_kill(sender->thread, WAKE_SIGNAL);
    while (xdp_setup_wait(setup, XDP_LOOK_NS), pthread_tryjoin_np(sender->thread, NULL) == EBUSY);
    sigaction(WAKE_SIGNAL, &sender->action_before, NULL);
    int error = atomic_load(&sender->error);
    if (error != 0)
        return error_system(setup->error, -error, "the kernel does not send frames (BPF_PROG_RUN)");
    return 0;
}
