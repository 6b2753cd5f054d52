/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Values of BPF maps in the memory of this process, for those who load a part.
 */
#ifndef PADDOCK_FASTPATH_MAPS_H
#define PADDOCK_FASTPATH_MAPS_H

#include <bpf/libbpf.h>
#include <stddef.h>
#include <sys/mman.h>

/** Maps the values of a map that is made for it (BPF_F_MMAPABLE), all pages at once.
 * @param protection PROT_READ, or with PROT_WRITE.
 * @return NULL on a failure; unmapped with fastpath_unmap(). */
static inline void *fastpath_map(const struct bpf_map *map, size_t bytes, int protection)
{
    void *mapped = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE, bpf_map__fd(map), 0);
    return mapped != MAP_FAILED ? mapped : NULL;
}

/** NULL is fine. */
static inline void fastpath_unmap(void *mapped, size_t bytes)
{
    if (mapped != NULL)
        munmap(mapped, bytes);
}

#endif
