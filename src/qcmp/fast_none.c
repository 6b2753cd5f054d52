/* SPDX-License-Identifier: Apache-2.0 */
/* A build without BPF: there is no fast path, so that nothing is called with one. All functions are
 * one that does nothing, by many names; their header is not included, as it has other types. */

#define NOTHING(name) void name(void) __attribute__((alias("qcmp_fast_nothing")))

void qcmp_fast_nothing(void);

void qcmp_fast_nothing(void)
{
}

NOTHING(qcmp_fast_open);
NOTHING(qcmp_fast_guard_table);
NOTHING(qcmp_fast_prepare);
NOTHING(qcmp_fast_replace);
NOTHING(qcmp_fast_count);
NOTHING(qcmp_fast_close);
