// SPDX-License-Identifier: Apache-2.0
// libqcmp in Unreal: a C++ class without UObjects for a module of the game. Put qcmp.c and qcmp.h
// (make amalgamation) and this file into the module's Private folder; Windows needs
// PublicSystemLibraries.AddRange(new[] { "ws2_32.lib", "bcrypt.lib" }) in its Build.cs. Call Tick()
// from any tickable; nothing blocks, nothing is called back. Compiled by the tests as C++17 and
// C++20 with gcc and clang, without Unreal, whose sources are not free: so it uses nothing of it;
// FString converts by TCHAR_TO_UTF8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "qcmp.h"

class FQcmpSurvey
{
  public:
    // Sites as "192.0.2.1:7600"; one that cannot be read makes IsValid() false.
    explicit FQcmpSurvey(const std::vector<std::string> &Sites)
    {
        std::vector<qcmp_endpoint> Endpoints(Sites.size());
        for (std::size_t Index = 0; Index < Sites.size(); Index++) {
            if (qcmp_endpoint_parse(&Endpoints[Index], Sites[Index].c_str(), QCMP_PORT) != 0)
                return;
        }
        const std::size_t Bytes = qcmp_survey_bytes(Sites.size(), nullptr);
        Memory.reset(new std::max_align_t[Bytes / sizeof(std::max_align_t) + 1]);
        if (qcmp_survey_init(&Survey, Memory.get(), Bytes, Endpoints.data(), Endpoints.size(),
                             nullptr) != 0 ||
            qcmp_client_new(&Client, nullptr) != 0)
            Survey = nullptr;
    }
    ~FQcmpSurvey()
    {
        qcmp_client_free(Client);
    }
    FQcmpSurvey(const FQcmpSurvey &) = delete;
    FQcmpSurvey &operator=(const FQcmpSurvey &) = delete;

    bool IsValid() const
    {
        return Survey != nullptr;
    }

    // Once a frame. False when the survey is done, or its socket failed.
    bool Tick()
    {
        return IsValid() && qcmp_survey_step(Survey, Client) > 0;
    }

    // The index of the best site so far, or -1.
    int32_t Best() const
    {
        return IsValid() ? qcmp_survey_best(Survey, nullptr) : -1;
    }

    qcmp_survey_result Result(int32_t Site) const
    {
        qcmp_survey_result Found = {};
        if (IsValid() && Site >= 0)
            (void)qcmp_survey_get(Survey, static_cast<std::size_t>(Site), &Found);
        return Found;
    }

  private:
    std::unique_ptr<std::max_align_t[]> Memory;
    qcmp_survey *Survey = nullptr;
    qcmp_client *Client = nullptr;
};
