# Tests of libqcmp; see tests/CMakeLists.txt.
paddock_unit_test(wire error LINK qcmp::qcmp)
paddock_unit_test(wire measure LINK qcmp::qcmp)
paddock_unit_test(wire wire LINK qcmp::qcmp)

# A probe beside a naive model of it; the fuzz harness uses it too.
add_library(paddock_probe_script STATIC support/probe_script.c support/probe_shadow.c)
paddock_target(paddock_probe_script 17)
target_include_directories(paddock_probe_script PUBLIC ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(paddock_probe_script PUBLIC qcmp::qcmp)

paddock_unit_test(probe survey LINK qcmp::qcmp)
paddock_unit_test(probe probe LINK paddock_probe_script)

add_test(NAME paddock.check.freestanding COMMAND ${PROJECT_SOURCE_DIR}/scripts/check-freestanding)
set_tests_properties(paddock.check.freestanding PROPERTIES TIMEOUT 120 LABELS check)
