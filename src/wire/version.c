#include <qcmp/version.h>

const char *qcmp_version(void)
{
    return QCMP_VERSION;
}
