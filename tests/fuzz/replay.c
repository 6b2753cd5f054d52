/* SPDX-License-Identifier: Apache-2.0 */
/* The main of a fuzz harness without libFuzzer: runs every file of the corpus folders given, and
 * fails when there are none. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t bytes = 0;
    size_t got;

    if (file == NULL)
        goto fail;
    do {
        uint8_t *more = realloc(data, bytes + 4096);

        if (more == NULL)
            goto fail;
        data = more;
        got = fread(data + bytes, 1, 4096, file);
        bytes += got;
    } while (got > 0);
    if (ferror(file))
        goto fail;
    fclose(file);

    /* Exactly as large as the input, so that a sanitizer sees what is read beyond it. */
    uint8_t *exact = realloc(data, bytes > 0 ? bytes : 1);

    (void)LLVMFuzzerTestOneInput(exact != NULL ? exact : data, bytes);
    free(exact != NULL ? exact : data);
    return 0;

fail:
    perror(path);
    free(data);
    if (file != NULL)
        fclose(file);
    return -1;
}

/* Returns how many files were run, or -1. */
static int replay_folder(const char *folder)
{
    DIR *listing = opendir(folder);
    int count = 0;

    if (listing == NULL) {
        perror(folder);
        return -1;
    }
    for (const struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        char path[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (replay_file(path) != 0) {
            count = -1;
            break;
        }
        count++;
    }
    closedir(listing);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        const int count = replay_folder(argv[i]);

        if (count < 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
