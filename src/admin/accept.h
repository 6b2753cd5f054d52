/** @file
 * What a scraper accepts: the Accept header of RFC 9110, section 12.5.1.
 */
#ifndef PADDOCK_ADMIN_ACCEPT_H
#define PADDOCK_ADMIN_ACCEPT_H

#include <stdbool.h>

/**
 * Whether OpenMetrics 1.0 is to be sent rather than text: application/openmetrics-text is named,
 * without a version or with 1.0.0, its q is above 0 and not below that of text/plain. The q of
 * text/plain is that of the most specific range for it: itself, then any text, then anything; 0
 * where there is none. Of two alike the greater counts. A range that is malformed, or whose q is,
 * does not count. Nothing here allocates.
 *
 * @param accept the header's value, whatever it holds; NULL = no header.
 */
bool accept_openmetrics(const char *accept);

#endif
