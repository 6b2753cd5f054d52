# Tests of libqcmp; see tests/CMakeLists.txt.
paddock_unit_test(wire error LINK qcmp::qcmp)
paddock_unit_test(wire measure LINK qcmp::qcmp)
paddock_unit_test(wire wire LINK qcmp::qcmp)
