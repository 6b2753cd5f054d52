/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <string.h>

#include "http/blob.h"

static void a_document_lives_as_long_as_its_last_reference(void **state)
{
    struct http_blob *blob = http_blob_new(strdup("text"), 4);

    (void)state;
    assert_ptr_equal(http_blob_ref(blob), blob);
    http_blob_unref(blob);
    assert_memory_equal(blob->data, "text", 4); /* what AddressSanitizer looks at */
    http_blob_unref(blob);
    http_blob_unref(NULL);
}

static void the_tag_is_that_of_the_contents(void **state)
{
    struct http_blob *one = http_blob_new(strdup("text"), 4);
    struct http_blob *same = http_blob_new(strdup("text"), 4);
    struct http_blob *other = http_blob_new(strdup("texu"), 4);
    struct http_blob *shorter = http_blob_new(strdup("text"), 3);

    (void)state;
    assert_string_equal(one->etag, same->etag);
    assert_string_not_equal(one->etag, other->etag);
    assert_string_not_equal(one->etag, shorter->etag);
    assert_int_equal(strlen(one->etag), 18);
    assert_true(one->etag[0] == '"' && one->etag[17] == '"');
    http_blob_unref(one);
    http_blob_unref(same);
    http_blob_unref(other);
    http_blob_unref(shorter);
}

static void without_data_there_is_no_document(void **state)
{
    (void)state;
    assert_null(http_blob_new(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_lives_as_long_as_its_last_reference),
        cmocka_unit_test(the_tag_is_that_of_the_contents),
        cmocka_unit_test(without_data_there_is_no_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
