// SPDX-License-Identifier: Apache-2.0
// libqcmp in Godot 4, as a GDExtension over godot-cpp: the class QcmpSurvey for GDScript. Compile
// this file and qcmp.c (make amalgamation) as a project of godot-cpp's template does; the entry
// symbol for the .gdextension file is qcmp_library_init. Neither Debian nor PyPI has godot-cpp: the
// tests compile this file against a stand-in of the names that it uses, and nobody has run it.
//
//     var survey = QcmpSurvey.new()
//     survey.start(PackedStringArray(["192.0.2.1:7600", "[2001:db8::1]:7600"]))
//     # in _process(): if not survey.step(): print(survey.best(), survey.result(survey.best()))
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <godot_cpp/classes/ref_counted.hpp>
#include <godot_cpp/core/class_db.hpp>
#include <godot_cpp/godot.hpp>
#include <godot_cpp/variant/char_string.hpp>
#include <godot_cpp/variant/dictionary.hpp>
#include <godot_cpp/variant/packed_string_array.hpp>

#include "qcmp.h"

class QcmpSurvey : public godot::RefCounted
{
    GDCLASS(QcmpSurvey, godot::RefCounted)

  public:
    ~QcmpSurvey()
    {
        qcmp_client_free(client);
    }

    // False where a site is no address, or there is no socket. A survey is started once.
    bool start(const godot::PackedStringArray &sites)
    {
        std::vector<qcmp_endpoint> endpoints(static_cast<std::size_t>(sites.size()));
        for (std::size_t i = 0; i < endpoints.size(); i++) {
            if (qcmp_endpoint_parse(&endpoints[i], sites[static_cast<int64_t>(i)].utf8().get_data(),
                                    QCMP_PORT) != 0)
                return false;
        }
        const std::size_t bytes = qcmp_survey_bytes(endpoints.size(), nullptr);
        if (bytes == 0 || client != nullptr || qcmp_client_new(&client, nullptr) != 0)
            return false;
        memory.reset(new std::max_align_t[bytes / sizeof(std::max_align_t) + 1]);
        return qcmp_survey_init(&survey, memory.get(), bytes, endpoints.data(), endpoints.size(),
                                nullptr) == 0;
    }

    // Once a frame, until it is false. Never blocks.
    bool step()
    {
        return survey != nullptr && qcmp_survey_step(survey, client) > 0;
    }

    // The index of the best site so far, or -1.
    int64_t best() const
    {
        return survey != nullptr ? qcmp_survey_best(survey, nullptr) : -1;
    }

    godot::Dictionary result(int64_t site) const
    {
        godot::Dictionary found;
        qcmp_survey_result known;
        if (survey != nullptr && site >= 0 &&
            qcmp_survey_get(survey, static_cast<std::size_t>(site), &known) == 0 && known.known) {
            found["median_ms"] = static_cast<double>(known.median_ns) / 1e6;
            found["p95_ms"] = static_cast<double>(known.p95_ns) / 1e6;
            found["jitter_ms"] = static_cast<double>(known.jitter_ns) / 1e6;
            found["loss"] = known.loss;
        }
        return found;
    }

  protected:
    static void _bind_methods()
    {
        godot::ClassDB::bind_method(godot::D_METHOD("start", "sites"), &QcmpSurvey::start);
        godot::ClassDB::bind_method(godot::D_METHOD("step"), &QcmpSurvey::step);
        godot::ClassDB::bind_method(godot::D_METHOD("best"), &QcmpSurvey::best);
        godot::ClassDB::bind_method(godot::D_METHOD("result", "site"), &QcmpSurvey::result);
    }

  private:
    std::unique_ptr<std::max_align_t[]> memory;
    qcmp_survey *survey = nullptr;
    qcmp_client *client = nullptr;
};

static void initialize(godot::ModuleInitializationLevel level)
{
    if (level == godot::MODULE_INITIALIZATION_LEVEL_SCENE)
        GDREGISTER_CLASS(QcmpSurvey);
}

static void terminate(godot::ModuleInitializationLevel)
{
}

extern "C" GDExtensionBool GDE_EXPORT
qcmp_library_init(GDExtensionInterfaceGetProcAddress get_proc_address,
                  GDExtensionClassLibraryPtr library, GDExtensionInitialization *initialization)
{
    godot::GDExtensionBinding::InitObject object(get_proc_address, library, initialization);
    object.register_initializer(initialize);
    object.register_terminator(terminate);
    object.set_minimum_library_initialization_level(godot::MODULE_INITIALIZATION_LEVEL_SCENE);
    return object.init();
}
