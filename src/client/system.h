/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The system's headers for sockets, with all that the system has in them. Comes first in each
 * source of this module, because the C library looks at these macros once; a host's build may have
 * set them, or others, already.
 */
#ifndef PADDOCK_CLIENT_SYSTEM_H
#define PADDOCK_CLIENT_SYSTEM_H

#if defined(_WIN32)

#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602 /* Windows 8: GetSystemTimePreciseAsFileTime */
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <winsock2.h>

#include <ws2tcpip.h>

#include <windows.h>

#define SYSTEM_NO_MEMORY ERROR_NOT_ENOUGH_MEMORY
#define SYSTEM_NOT_SUPPORTED WSAEOPNOTSUPP

#else

#undef _POSIX_C_SOURCE
#undef _XOPEN_SOURCE
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE
#endif
#ifndef _NETBSD_SOURCE
#define _NETBSD_SOURCE
#endif
#ifndef _BSD_SOURCE
#define _BSD_SOURCE
#endif
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* or glibc warns about the line above */
#endif
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>

#if defined(__GLIBC__) && !defined(__USE_GNU)
#error "libqcmp's sources come first in their unit, or the build defines _GNU_SOURCE"
#endif

#define SYSTEM_NO_MEMORY ENOMEM
#define SYSTEM_NOT_SUPPORTED EOPNOTSUPP

#endif
#endif
