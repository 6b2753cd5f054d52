/* SPDX-License-Identifier: Apache-2.0 */
#include "qcmp/fast.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "fastpath/maps.h"
#include "qcmp/shared.h"

#include "qcmp.skel.h"

#define TABLE_BYTES (GUARD_TABLE_SETS * sizeof(struct guard_set))
#define NETWORKS_BYTES (sizeof(uint64_t) * 2 * GUARD_NETWORKS_WORDS)

struct qcmp_fast {
    struct fastpath *fastpath;
    struct qcmp_bpf *program;
    unsigned cpus;
    struct qcmp_fast_counters *counters; /* one a CPU, mapped */
    struct guard_set *table;             /* mapped */
    struct guard_driver rules;           /* its networks are mapped */
};

/* What was made when a step fails, qcmp_fast_close() releases. */
static int load(struct qcmp_fast *fast)
{
    int count = libbpf_num_possible_cpus(), both = PROT_READ | PROT_WRITE;

    if (count < 0)
        return count;
    fast->cpus = (unsigned)count;
    struct qcmp_bpf *program = fast->program = qcmp_bpf__open();
    if (program == NULL)
        return -errno;
    int code = bpf_map__set_max_entries(program->maps.counters, fast->cpus);
    if (code == 0)
        code = bpf_map__reuse_fd(program->maps.cpus, fastpath_cpus_fd(fast->fastpath));
    if (code == 0)
        code = qcmp_bpf__load(program);
    if (code != 0)
        return code;
    fast->counters =
        fastpath_map(program->maps.counters, fast->cpus * sizeof *fast->counters, PROT_READ);
    fast->table = fastpath_map(program->maps.table, TABLE_BYTES, both);
    fast->rules.maps = (struct guard_driver_maps){
        .current = bpf_map__fd(program->maps.current_rules),
        .versions = {bpf_map__fd(program->maps.first_rules),
                     bpf_map__fd(program->maps.second_rules)},
        .prefixes = {bpf_map__fd(program->maps.first_prefixes),
                     bpf_map__fd(program->maps.second_prefixes)},
        .networks = fastpath_map(program->maps.networks, NETWORKS_BYTES, both),
        .has_rules = &program->bss->has_rules};
    if (fast->counters == NULL || fast->table == NULL || fast->rules.maps.networks == NULL)
        return -ENOMEM;
    return fastpath_part_set(fast->fastpath, FASTPATH_QCMP,
                             bpf_program__fd(program->progs.paddock_qcmp));
}

int qcmp_fast_open(struct qcmp_fast **fast, struct fastpath *fastpath, struct error *error)
{
    struct qcmp_fast *opened = calloc(1, sizeof *opened);

    if (opened == NULL)
        return error_system(error, -ENOMEM, "cannot open QCMP's XDP program");
    opened->fastpath = fastpath;
    int code = load(opened);
    if (code == 0) {
        *fast = opened;
        return 0;
    }
    qcmp_fast_close(opened);
    return error_system(error, code, "cannot load QCMP's XDP program");
}

struct guard_set *qcmp_fast_guard_table(const struct qcmp_fast *fast)
{
    return fast->table;
}

int qcmp_fast_prepare(struct qcmp_fast *fast, const struct guard_driver_options *options)
{
    return guard_driver_prepare(&fast->rules, options);
}

int qcmp_fast_replace(struct qcmp_fast *fast)
{
    int code = guard_driver_apply(&fast->rules);

    if (code != 0)
        fastpath_part_set(fast->fastpath, FASTPATH_QCMP, -1);
    return code;
}

void qcmp_fast_count(const struct qcmp_fast *fast, uint64_t *packets, uint64_t *bytes,
                     uint64_t *answered)
{
    for (unsigned cpu = 0; cpu < fast->cpus; cpu++) {
        const struct qcmp_fast_counters *own = &fast->counters[cpu];
        for (size_t i = 0; i < OUTCOME_COUNT; i++) {
            uint64_t count = __atomic_load_n(&own->packets[i], __ATOMIC_RELAXED);
            packets[i] += count;
            bytes[i] += __atomic_load_n(&own->bytes[i], __ATOMIC_RELAXED);
            if (i == OUTCOME_VALID || i == OUTCOME_LEAKED)
                *answered += count;
        }
    }
}

void qcmp_fast_close(struct qcmp_fast *fast)
{
    if (fast == NULL)
        return;
    fastpath_part_set(fast->fastpath, FASTPATH_QCMP, -1);
    guard_driver_fini(&fast->rules);
    fastpath_unmap(fast->rules.maps.networks, NETWORKS_BYTES);
    fastpath_unmap(fast->table, TABLE_BYTES);
    fastpath_unmap(fast->counters, fast->cpus * sizeof *fast->counters);
    qcmp_bpf__destroy(fast->program);
    free(fast);
}
