// SPDX-License-Identifier: Apache-2.0
// What a game does with examples/bindings/QcmpSurvey.h: unreal SITE...
#include "QcmpSurvey.h"

#include <cstdio>

int main(int argc, char **argv)
{
    FQcmpSurvey Survey(std::vector<std::string>(argv + 1, argv + argc));
    if (!Survey.IsValid())
        return 2;
    while (Survey.Tick()) {
    }
    const int32_t Best = Survey.Best();
    if (Best >= 0)
        std::printf("%s is the best, of %u answers\n", argv[Best + 1],
                    static_cast<unsigned>(Survey.Result(Best).answered));
    return Best < 0;
}
