/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A kubeconfig. Oracles: what is taken has a server whose scheme is HTTP's and a token that a
 * header can carry; what is refused has a reason, and no facts.
 */
#include <stdint.h>
#include <string.h>

#include "k8s/credentials.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* docs/decisions/0005-libfyaml.md says what libfyaml loses. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct credentials_facts facts = {0};
    struct error error = {0};
    const struct credentials_files files = {.opened = NULL};
    const char *path = "/proc/self/fdinfo/none/config", *text = (const char *)data;
    const char *cut = size > 0 ? memchr(text, '\f', size) : NULL; /* two files, if it is there */
    size_t first = cut != NULL ? (size_t)(cut - text) : size;
    const struct credentials_source sources[] = {
        {path, text, first}, {path, text + first + 1, size - first - (cut != NULL ? 1 : 0)}};
    int code = credentials_parse(sources, cut != NULL ? 2 : 1, &files, &facts, &error);

    CHECK((code == 0) == (error.text[0] == '\0'));
    CHECK((code == 0) == (facts.server != NULL));
    if (code == 0) {
        CHECK(strncmp(facts.server, "http://", 7) == 0 ||
              strncmp(facts.server, "https://", 8) == 0);
        CHECK(facts.token.data == NULL || strpbrk(facts.token.data, " \r\n") == NULL);
        CHECK((facts.certificate.data == NULL) == (facts.key.data == NULL));
    }
    credentials_facts_fini(&facts);
    return 0;
}
