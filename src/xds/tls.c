/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_identity.h"

enum {
    CERTIFICATES,
    KEY,
    AUTHORITIES,
    FILES
};

struct tls {
    struct tls_files files;
    bool is_server;
    SSL_CTX *context;
    struct file_identity known[FILES];
};

static const char *path_of(const struct tls *tls, unsigned file)
{
    const char *const paths[FILES] = {tls->files.certificates, tls->files.key,
                                      tls->files.authorities};

    return paths[file];
}

/* NOLINTNEXTLINE(readability-function-size): the library's interface */
static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_bytes,
                     const unsigned char *offered, unsigned offered_bytes, void *user)
{
    static const unsigned char h2[] = "\x02h2";

    (void)ssl;
    (void)user;
    for (unsigned i = 0; i < offered_bytes; i += offered[i] + 1U) {
        if (offered_bytes - i >= 3 && memcmp(offered + i, h2, 3) == 0) {
            *out = offered + i + 1;
            *out_bytes = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int fail(struct error *error, const char *path)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    return error_set(error, -EINVAL, "%s: %s", path, why != NULL ? why : "TLS does not take it");
}

/* A service has no terminal on which it could be asked, and must not wait for one. */
static int refuse_passphrase(char *to, int room, int is_writing, void *user)
{
    (void)to;
    (void)room;
    (void)is_writing;
    *(bool *)user = true;
    return -1;
}

static int load_key(SSL_CTX *context, const char *path, struct error *error)
{
    bool is_encrypted = false;

    SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &is_encrypted);
    bool is_taken = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_check_private_key(context) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (is_encrypted)
        return error_set(error, -EINVAL, "%s: the key is encrypted with a passphrase", path);
    return is_taken ? 0 : fail(error, path);
}

static int load(const struct tls *tls, SSL_CTX **context, struct error *error)
{
    static const unsigned char h2[] = "\x02h2";
    const struct tls_files *files = &tls->files;
    SSL_CTX *made = SSL_CTX_new(tls->is_server ? TLS_server_method() : TLS_client_method());
    int code = made != NULL ? 0 : error_set(error, -ENOMEM, "out of memory");

    ERR_clear_error();
    if (code == 0)
        SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    if (code == 0 && *files->certificates != '\0' &&
        SSL_CTX_use_certificate_chain_file(made, files->certificates) != 1)
        code = fail(error, files->certificates);
    if (code == 0 && *files->key != '\0')
        code = load_key(made, files->key, error);
    if (code == 0 && *files->authorities != '\0' &&
        SSL_CTX_load_verify_file(made, files->authorities) != 1)
        code = fail(error, files->authorities);
    if (code != 0) {
        SSL_CTX_free(made);
        return code;
    }
    if (tls->is_server) {
        SSL_CTX_set_alpn_select_cb(made, choose_h2, NULL);
        SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
        if (*files->authorities != '\0')
            SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    } else {
        SSL_CTX_set_alpn_protos(made, h2, sizeof h2 - 1);
        SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    }
    *context = made;
    return 0;
}

static bool has_changed(struct tls *tls)
{
    bool is_changed = false;

    for (unsigned i = 0; i < FILES; i++) {
        struct file_identity now = file_identity_read(path_of(tls, i));

        if (!now.exists || file_identity_equal(&now, &tls->known[i]))
            continue;
        is_changed = true;
        tls->known[i] = now;
    }
    return is_changed;
}

int tls_new(struct tls **tls, const struct tls_files *files, bool is_server, struct error *error)
{
    struct tls *made = calloc(1, sizeof *made);

    if (made == NULL)
        return error_set(error, -ENOMEM, "out of memory");
    made->files = *files;
    made->is_server = is_server;
    (void)has_changed(made);
    int code = load(made, &made->context, error);
    if (code != 0) {
        free(made);
        return code;
    }
    *tls = made;
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls != NULL)
        SSL_CTX_free(tls->context);
    free(tls);
}

void tls_tick(struct tls *tls, struct log *log)
{
    struct error error;
    SSL_CTX *next;

    if (tls == NULL || !has_changed(tls))
        return;
    if (load(tls, &next, &error) != 0) {
        LOG_EVENT(log, LOG_LEVEL_ERROR,
                  log_text("message", "certificates not reloaded: the old ones stay"),
                  log_text("error", error.text));
        return;
    }
    SSL_CTX_free(tls->context);
    tls->context = next;
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "certificates reloaded"));
}

SSL_CTX *tls_context(const struct tls *tls)
{
    return tls != NULL ? tls->context : NULL;
}
