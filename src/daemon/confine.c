/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/confine.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __arm__
#define ARCHITECTURE AUDIT_ARCH_ARM
#elif defined __i386__
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined __powerpc64__ && __BYTE_ORDER == __LITTLE_ENDIAN
#define ARCHITECTURE AUDIT_ARCH_PPC64LE
#elif defined __s390x__
#define ARCHITECTURE AUDIT_ARCH_S390X
#else
#define ARCHITECTURE 0 /* unknown: there are no filters */
#endif

/* The numbers of x86-64's convention for 32-bit pointers, which has the same architecture. */
#define X32_CALLS UINT32_C(0x40000000)

#define MOST_INSTRUCTIONS 1024

struct program {
    struct sock_filter code[MOST_INSTRUCTIONS];
    unsigned short count;
};

static void load(struct program *program, size_t offset)
{
    program->code[program->count++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static void jump_unless_equal(struct program *program, uint32_t value, unsigned skipped)
{
    program->code[program->count++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)skipped);
}

static void give(struct program *program, uint32_t action)
{
    program->code[program->count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
}

/* A condition is of four instructions, two for each half of an argument. */
static void add_rule(struct program *program, const struct confine_rule *rule)
{
    unsigned left = 4 * rule->count + 1;

    assert(program->count + left + 4 < MOST_INSTRUCTIONS);
    jump_unless_equal(program, rule->call, left);
    for (unsigned i = 0; i < rule->count; i++) {
        size_t low = offsetof(struct seccomp_data, args) + (size_t)8 * rule->where[i].argument +
                     (__BYTE_ORDER == __BIG_ENDIAN ? 4 : 0);
        load(program, low);
        jump_unless_equal(program, rule->where[i].value, left -= 2);
        load(program, low ^ 4);
        jump_unless_equal(program, 0, left -= 2);
    }
    give(program, rule->action);
    if (rule->count > 0)
        load(program, offsetof(struct seccomp_data, nr));
}

int confine(const struct confine_filter *filter)
{
    struct program program = {.count = 0};

    if (ARCHITECTURE == 0)
        return -ENOSYS;
    load(&program, offsetof(struct seccomp_data, arch));
    program.code[program.count++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    give(&program, SECCOMP_RET_KILL_PROCESS);
    load(&program, offsetof(struct seccomp_data, nr));
    /* NOLINTNEXTLINE(misc-redundant-expression): not on another processor */
    if (ARCHITECTURE == AUDIT_ARCH_X86_64) {
        program.code[program.count++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALLS, 0, 1);
        give(&program, SECCOMP_RET_KILL_PROCESS);
    }
    for (size_t i = 0; i < filter->count; i++)
        add_rule(&program, &filter->rules[i]);
    give(&program, filter->otherwise);

    const struct sock_fprog loaded = {.len = program.count, .filter = program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &loaded) == 0 ? 0 : -errno;
}
