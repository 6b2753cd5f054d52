/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * How much libfyaml would have to remember before it can say anything. A list or map in brackets
 * may be the key of a map; so libfyaml 0.7.12 keeps all of its tokens, 200 bytes and more each,
 * until it has seen the end. This scan looks ahead first, from one event to the next.
 */
#ifndef PADDOCK_CONFIG_YAML_SCAN_H
#define PADDOCK_CONFIG_YAML_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Tokens of a list or map in brackets that libfyaml would keep. The value of a key is not kept. */
#define YAML_MAX_TOKENS 262144

/** Escapes in one text in quotes. */
#define YAML_MAX_ESCAPES 262144

enum yaml_scan_result {
    YAML_SCAN_FINE,
    YAML_SCAN_DEPTH,     /**< too many levels, at scan.at */
    YAML_SCAN_TOKENS,    /**< more than #YAML_MAX_TOKENS, at scan.at */
    YAML_SCAN_ESCAPES,   /**< more than #YAML_MAX_ESCAPES, at scan.at */
    YAML_SCAN_BLANKS,    /**< libfyaml takes quadratic time over blanks in a row */
    YAML_SCAN_PROPERTIES /**< more in a row than one value has, at scan.at */
};

/** A scan under way; zeroed but for the first two members. */
struct yaml_scan {
    const char *text;
    size_t bytes;
    size_t at;        /**< where the last call stopped */
    size_t looked_at; /**< brackets before this have been measured */
    uint64_t blanks;  /**< half the sum of the squares of blanks in a row */
    size_t begun;     /**< from where the last call went on, plus 1 */
};

/**
 * Looks at what follows an event, up to the end of the next brackets or scalar.
 *
 * @param from   behind the event's token.
 * @param column of the innermost list or map that is not in brackets, from 0; -1: none.
 * @param levels how many more levels there may be.
 */
enum yaml_scan_result yaml_scan_next(struct yaml_scan *scan, size_t from, int column,
                                     unsigned levels);

#endif
