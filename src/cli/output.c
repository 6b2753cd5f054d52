#include "cli/output.h"

#include <stdio.h>

#include "cli/commands.h"

int output_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fputs("paddock: cannot write to the standard output\n", stderr);
    return EXIT_FAILED;
}
