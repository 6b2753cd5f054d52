/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define HOUR_NS INT64_C(3600000000000)
#define PREFIX_BYTES 201
#define NAME_BYTES 256

struct log_file {
    struct log_file_options options;
    char prefix[PREFIX_BYTES];
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows up to is_closing */
    pthread_cond_t changed;
    char *queue;
    size_t queued;
    bool is_closing;
    char *writing;     /* the thread's, as are the rest */
    int folder_fd, fd; /* -1: not open */
    int64_t hour;      /* that fd is for */
};

/* Whether a name is PREFIX.YYYY-MM-DD-HH. */
static bool is_ours(const struct log_file *file, const char *name)
{
    static const char form[] = ".0000-00-00-00";
    size_t length = strlen(file->prefix);

    if (strncmp(name, file->prefix, length) != 0 || strlen(name + length) != sizeof form - 1)
        return false;
    for (size_t i = 0; form[i] != '\0'; i++) {
        char c = name[length + i];
        if (form[i] == '0' ? !isdigit((unsigned char)c) : c != form[i])
            return false;
    }
    return true;
}

/* Names sort by their time. What cannot be removed stays, and is tried again in an hour. */
static void remove_old(const struct log_file *file)
{
    char kept[LOG_FILE_KEPT][NAME_BYTES] = {{0}}; /* the newest first */
    char name[NAME_BYTES];
    int fd = openat(file->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

    if (folder == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!is_ours(file, entry->d_name))
            continue;
        snprintf(name, sizeof name, "%s", entry->d_name);
        for (size_t i = 0; i < LOG_FILE_KEPT; i++) {
            char older[NAME_BYTES];
            if (strcmp(kept[i], name) >= 0)
                continue;
            memcpy(older, kept[i], sizeof older);
            memcpy(kept[i], name, sizeof name);
            memcpy(name, older, sizeof name);
        }
        if (name[0] != '\0')
            unlinkat(file->folder_fd, name, 0);
    }
    closedir(folder);
}

/* Goes on to the file of the hour. Returns 0 or a negative errno value. */
static int turn_over(struct log_file *file)
{
    int64_t now_ns =
        file->options.clock != NULL ? file->options.clock(file->options.user) : clock_wall_ns();
    int64_t hour = now_ns / HOUR_NS;
    time_t seconds = (time_t)(now_ns / 1000000000);
    char name[NAME_BYTES], stamp[32];
    struct tm utc;

    if (file->fd >= 0 && hour == file->hour)
        return 0;
    strftime(stamp, sizeof stamp, "%Y-%m-%d-%H", gmtime_r(&seconds, &utc));
    snprintf(name, sizeof name, "%s.%s", file->prefix, stamp);
    int fd =
        openat(file->folder_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    if (file->fd >= 0)
        close(file->fd);
    file->fd = fd;
    file->hour = hour;
    remove_old(file);
    return 0;
}

static void *thread_main(void *argument)
{
    struct log_file *file = argument;
    bool is_over = false;

    while (!is_over) {
        pthread_mutex_lock(&file->lock);
        while (file->queued == 0 && !file->is_closing)
            pthread_cond_wait(&file->changed, &file->lock);
        char *filled = file->queue;
        size_t bytes = file->queued, done = 0;
        file->queue = file->writing;
        file->writing = filled;
        file->queued = 0;
        is_over = file->is_closing;
        pthread_mutex_unlock(&file->lock);

        turn_over(file);
        while (done < bytes) {
            ssize_t count = write(file->fd, filled + done, bytes - done);
            if (count <= 0 && (count == 0 || errno != EINTR))
                break;
            done += count > 0 ? (size_t)count : 0;
        }
    }
    return NULL;
}

static void free_all(struct log_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->folder_fd >= 0)
        close(file->folder_fd);
    free(file->queue);
    free(file->writing);
    free(file);
}

int log_file_open(struct log_file **file, const struct log_file_options *options,
                  struct error *error)
{
    struct log_file *opened = calloc(1, sizeof *opened);
    sigset_t all, before;

    if (opened == NULL)
        return error_system(error, -ENOMEM, "log files");
    *opened = (struct log_file){.options = *options,
                                .lock = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER,
                                .queue = malloc(LOG_FILE_QUEUE_BYTES),
                                .writing = malloc(LOG_FILE_QUEUE_BYTES),
                                .folder_fd = -1,
                                .fd = -1};
    snprintf(opened->prefix, sizeof opened->prefix, "%s", options->prefix);
    int code = opened->queue == NULL || opened->writing == NULL ? -ENOMEM : 0;
    if (code == 0 && mkdir(options->folder, 0755) != 0 && errno != EEXIST)
        code = -errno;
    if (code == 0) {
        opened->folder_fd = open(options->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        code = opened->folder_fd < 0 ? -errno : turn_over(opened);
    }
    if (code == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        code = -pthread_create(&opened->thread, NULL, thread_main, opened);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (code != 0) {
        free_all(opened);
        return error_system(error, code, "cannot log to a file in %s", options->folder);
    }
    *file = opened;
    return 0;
}

bool log_file_write(struct log_file *file, const char *line, size_t bytes)
{
    pthread_mutex_lock(&file->lock);
    bool has_room = bytes <= LOG_FILE_QUEUE_BYTES - file->queued;
    if (has_room) {
        memcpy(file->queue + file->queued, line, bytes);
        file->queued += bytes;
        pthread_cond_signal(&file->changed);
    }
    pthread_mutex_unlock(&file->lock);
    return has_room;
}

void log_file_close(struct log_file *file)
{
    if (file == NULL)
        return;
    pthread_mutex_lock(&file->lock);
    file->is_closing = true;
    pthread_cond_signal(&file->changed);
    pthread_mutex_unlock(&file->lock);
    pthread_join(file->thread, NULL);
    free_all(file);
}
